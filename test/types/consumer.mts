// What a user's ES module must be able to write, and what must not type-check.
import {
  type Checkpoint,
  type ErrorCode,
  type Family,
  type FoldOptions,
  fold,
  inspect,
  loraExtract,
  loraMerge,
  loraResize,
  openAdapter,
  openFamily,
  readCheckpoint,
  TaskfoldError,
  verify,
  writeCheckpoint,
} from 'taskfold'
import * as kernels from 'taskfold/kernels'

const options: FoldOptions = { base: 'base', tasks: { a: 'a' }, output: 'out', density: 0.1, scope: 'tensor' }
await fold({ ...options, tasks: [{ name: 'a', path: 'a' }], onProgress: (progress) => progress.bytesDone })

const family: Family = await openFamily('out')
for await (const tensor of family.tensors('a')) {
  const bytes: Uint8Array = tensor.data
  const extents: readonly number[] = tensor.shape
  void [bytes, extents]
}
const { data, dtype } = await family.tensor('w', { task: 'a' })
await family.materialize('a', 'again', { force: true })
await verify('out', { against: { a: 'a' } })
void (await inspect('out'))

const resized = await loraResize({ adapter: 'lora', output: 'small', rank: 8 })
void [resized.layers[0]?.retainedEnergy, (await openAdapter('small')).layers[0]?.scale]
void (await loraExtract({ base: 'base', finetuned: 'a', output: 'x', energy: 0.9, include: /q_proj$/ }))
void (await loraMerge({ base: 'base', tasks: { a: 'lora' }, output: 'm', as: 'adapter', lambda: 0.5 }))
await family.materialize('a', 'whole', { merged: true, base: 'base' })
const { u, s } = await kernels.randomizedSvd(new Float32Array(6), { rows: 2, columns: 3, rank: 1 })
void [u.length, s[0]]

const checkpoint: Checkpoint = await readCheckpoint('org/name@main')
await writeCheckpoint('copy', [{ name: 'w', dtype, shape: [1], data }], { metadata: { format: 'pt' } })
void [checkpoint.tensors.get('w')?.offset, kernels]

try {
  await openFamily('missing')
} catch (error) {
  if (error instanceof TaskfoldError) {
    const code: ErrorCode = error.code
    void code
  }
}

// @ts-expect-error a budget is bytes or parameters
void loraResize({ adapter: 'lora', output: 'small', budget: 5 })
// @ts-expect-error a scope that does not exist
await fold({ ...options, scope: 'layer' })
// @ts-expect-error the output is required
await fold({ base: 'base', tasks: { a: 'a' } })
// @ts-expect-error a tensor belongs to a task
await family.tensor('w')
// @ts-expect-error codes are a closed list
const unknown: ErrorCode = 'SOMETHING_ELSE'
void unknown
