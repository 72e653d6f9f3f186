import { mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import type { EmittedTensor } from '../../../lib/binding/binding-types.js'
import { native } from '../../../lib/binding/load-binding.js'
import { materializeTensor } from '../../../lib/materialize/materialize-tensor.js'
import { buildDeltaHeader } from '../../../lib/pack/delta-header.js'
import { buildDeltaIndex } from '../../../lib/pack/delta-index.js'
import { type DeltaFilePlan, type PlannedTensor, planDeltaFiles } from '../../../lib/pack/delta-plan.js'
import { openPack } from '../../../lib/pack/open-pack.js'
import { verify } from '../../../lib/report/verify.js'
import { fingerprint, naivePack } from '../../helpers/naive-pack.js'
import { seededRandom } from '../../helpers/random.js'
import { tempFolder } from '../../helpers/temp-folder.js'

const ROWS = 3
const shapes: Record<string, number[]> = {
  a: [300, 300],
  'a.value': [5],
  b: [],
  c: [0, 3],
  table: [6, 4],
  zz: [70001],
}

/** The task differs from merged in every tenth element of `a`, in all of `zz`, and nowhere else. */
function values(name: string): { merged: Float32Array; task: Float32Array } {
  const random = seededRandom(name.length * 31 + name.charCodeAt(0))
  const elements = shapes[name]!.reduce((product, extent) => product * extent, 1)
  const merged = Float32Array.from({ length: elements }, () => random.unit() + 1)
  const differs = (i: number) => (name === 'a' ? i % 10 === 0 : name === 'zz' || name === 'table')
  return { merged, task: merged.map((x, i) => (differs(i) ? x + 1 : x)) }
}

function planned(): PlannedTensor[] {
  const tensors = Object.entries(shapes).map(([name, shape]): PlannedTensor => {
    if (name === 'table') return { name, kind: 'rows', dtype: 'F32', shape, rows: ROWS }
    return { name, kind: 'delta', dtype: 'F32', shape }
  })
  const head: PlannedTensor = { name: 'a.index', kind: 'whole', dtype: 'U8', shape: [5] }
  const tied: PlannedTensor = { name: 'tied', kind: 'alias', dtype: 'F32', shape: [6, 4], of: 'table' }
  return [tied, ...tensors.reverse(), head]
}

/** Writes one delta file as the fold does: emit behind the reserved header, then header, then what is kept whole. */
async function writeFile(folder: string, plan: DeltaFilePlan): Promise<ReturnType<typeof buildDeltaHeader>> {
  const path = join(folder, plan.fileName)
  const out = native().openFile(path, 'w')
  const tensors = plan.deltas.map((name) => {
    const { merged, task } = values(name)
    const elements = name === 'table' ? ROWS * 4 : merged.length
    const bytes = (data: Float32Array) => new Uint8Array(data.buffer, 0, elements * 4)
    return {
      name,
      elements,
      dtype: 'F32' as const,
      task: { region: bytes(task), dtype: 'F32' as const },
      merged: bytes(merged),
    }
  })
  const threshold = { key: 1, ties: 0 }
  const emitted = await native().emitDelta(
    { tensors, threshold, index: 'auto', out, offset: plan.headerBytes },
    {},
  )
  out.close()
  const byName = new Map<string, EmittedTensor>(plan.deltas.map((name, i) => [name, emitted.tensors[i]!]))
  const built = buildDeltaHeader(plan, byName)
  const fd = openSync(path, 'r+')
  writeSync(fd, built.header, 0, built.header.length, 0)
  for (const { name, fromByte, offset, length } of built.wholes) {
    const source =
      name === 'a.index' ? new Uint8Array([1, 2, 3, 4, 5]) : new Uint8Array(values(name).task.buffer)
    writeSync(fd, source, fromByte, length, offset)
  }
  return built
}

for (const shardBytes of [undefined, 100]) {
  test(`plan, emit and header give a pack that reads back (shards of ${shardBytes ?? 'default'} bytes)`, async (t) => {
    const folder = join(tempFolder(t), 'family')
    const plans = planDeltaFiles(planned(), { task: 'one', shardBytes })
    t.is(plans.length, shardBytes === undefined ? 1 : 4)
    mkdirSync(join(folder, 'tasks/one'), { recursive: true })
    const built = []
    for (const plan of plans) built.push({ plan, ...(await writeFile(join(folder, 'tasks/one'), plan)) })
    const files: string[] = plans.map((plan) => plan.fileName)
    const index = buildDeltaIndex(built.map(({ plan, stored }) => ({ fileName: plan.fileName, stored })))
    t.is(index === null, shardBytes === undefined)
    if (index !== null) {
      writeFileSync(join(folder, 'tasks/one/delta.safetensors.index.json'), index)
      files.push('delta.safetensors.index.json')
    }
    for (const { plan, fileBytes, header } of built) {
      t.is(header.length, plan.headerBytes)
      t.is(header.length % 8, 0)
      t.true(fileBytes <= plan.maxBytes)
    }
    const entries = await Promise.all(
      files.map(async (name) => {
        const bytes = readFileSync(join(folder, 'tasks/one', name))
        return { path: `tasks/one/${name}`, bytes: bytes.length, fingerprint: await fingerprint(bytes) }
      }),
    )
    const merged = Object.entries(shapes).map(([name, shape]) => ({
      name,
      dtype: 'F32',
      shape: name === 'table' ? [ROWS, 4] : shape,
      data: new Uint8Array(values(name).merged.buffer).subarray(0, name === 'table' ? ROWS * 16 : undefined),
    }))
    const kept = 9000 + 70001 + ROWS * 4
    await naivePack(
      folder,
      { merged: { 'model.safetensors': merged }, tasks: {} },
      {
        manifest(manifest) {
          manifest.tasks.push({
            name: 'one',
            source: { name: 'one', bytes: 1 },
            codec: 'exact',
            kept,
            elements: 300 * 300 + 5 + 1 + ROWS * 4 + 70001,
            bytes: entries.reduce((sum, entry) => sum + entry.bytes, 0),
            originalBytes: 1,
            files: entries,
            metadata: {},
          })
        },
      },
    )
    const pack = await openPack(folder)
    for (const name of Object.keys(shapes)) {
      const { data } = await materializeTensor(pack, 'one', name)
      t.true(Buffer.from(data).equals(Buffer.from(values(name).task.buffer)), name)
    }
    t.deepEqual((await materializeTensor(pack, 'one', 'a.index')).data, new Uint8Array([1, 2, 3, 4, 5]))
    t.deepEqual(
      (await materializeTensor(pack, 'one', 'tied')).data,
      new Uint8Array(values('table').task.buffer),
    )
    t.is((await verify(folder)).tasks[0]!.kept, kept)
  })
}

test('the plan depends on the set of tensors, not on their order', (t) => {
  const plan = planDeltaFiles(planned(), { task: 'one', shardBytes: 100 })
  t.deepEqual(planDeltaFiles(planned().reverse(), { task: 'one', shardBytes: 100 }), plan)
})

test('a task without anything to store still has a file', (t) => {
  const [plan, ...rest] = planDeltaFiles([], { task: 'none' })
  t.deepEqual(rest, [])
  const { header, fileBytes, stored } = buildDeltaHeader(plan!, new Map())
  t.is(fileBytes, header.length)
  t.deepEqual(stored, [])
  t.deepEqual(JSON.parse(JSON.parse(Buffer.from(header.subarray(8)).toString()).__metadata__.taskfold), {
    format: 1,
    codec: 'exact',
    task: 'none',
    tensors: {},
  })
})

test('reserved room is enough for any outcome', (t) => {
  const random = seededRandom(99)
  for (let round = 0; round < 50; round++) {
    const tensors = Array.from({ length: 1 + random.below(8) }, (_, i): PlannedTensor => {
      const shape = Array.from({ length: random.below(4) }, () => random.below(400))
      return {
        name: `${random.pick(['w', '"\\"', 'ü', '7'])}${i}`,
        kind: 'delta',
        dtype: random.pick(['F32', 'BF16', 'F8_E4M3']),
        shape,
      }
    })
    const [plan] = planDeltaFiles(tensors, { task: 'one' })
    let at = plan!.headerBytes
    const emitted = new Map<string, EmittedTensor>()
    for (const { name, shape, dtype } of plan!.tensors) {
      const elements = shape.reduce((product, extent) => product * extent, 1)
      const kept = random.pick([0, Math.min(1, elements), random.below(elements + 1), elements])
      const index = random.pick(['u16', 'bitmap'] as const)
      const item = dtype === 'F32' ? 4 : dtype === 'BF16' ? 2 : 1
      const place = (bytes: number) => {
        const length = Math.ceil(bytes / 8) * 8
        const offset = at
        at += kept === 0 ? 0 : length
        return { offset, length }
      }
      const blockCount = Math.ceil(elements / 65536)
      const value = place(kept * item)
      const indexBytes = place(index === 'u16' ? kept * 2 : Math.ceil(elements / 8))
      const blocks = place((blockCount + 1) * 4)
      const scales = { offset: 0, length: 0 }
      const arrays = { value, indexBytes, blocks, scales }
      emitted.set(name, { kept, index, values: 'plain', scale: null, blockCount, ...arrays })
    }
    const { fileBytes, header } = buildDeltaHeader(plan!, emitted)
    t.is(fileBytes, at)
    t.true(fileBytes <= plan!.maxBytes)
    t.is(header.length, plan!.headerBytes)
  }
})

test('arrays that are not where the plan puts them are a bug that is noticed', (t) => {
  const [plan] = planDeltaFiles([{ name: 'a', kind: 'delta', dtype: 'F32', shape: [4] }], { task: 'one' })
  t.throws(() => buildDeltaHeader(plan!, new Map()), { message: /nothing was emitted/ })
  const at = (offset: number, length: number) => ({ offset, length })
  const start = plan!.headerBytes
  const emitted = (value: { offset: number; length: number }): Map<string, EmittedTensor> =>
    new Map([
      [
        'a',
        {
          kept: 1,
          index: 'u16',
          values: 'plain',
          scale: null,
          scales: at(0, 0),
          blockCount: 1,
          value,
          indexBytes: at(start + 8, 8),
          blocks: at(start + 16, 8),
        },
      ],
    ])
  t.notThrows(() => buildDeltaHeader(plan!, emitted(at(start, 8))))
  t.throws(() => buildDeltaHeader(plan!, emitted(at(start + 8, 8))), { message: /was written at byte/ })
  t.throws(() => buildDeltaHeader(plan!, emitted(at(start, 16))), { message: /has 16 bytes/ })
})
