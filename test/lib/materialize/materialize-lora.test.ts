import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { fold } from '../../../lib/fold/fold.js'
import type { FoldOptions } from '../../../lib/fold/fold-options.js'
import type { Progress } from '../../../lib/io/progress.js'
import { type Family, openFamily } from '../../../lib/materialize/open-family.js'
import { excessError, loraBase, loraLayers, naiveProduct } from '../../helpers/lora-models.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import type { TinyTensor } from '../../helpers/tiny-checkpoint.js'
import { treeDigest } from '../../helpers/tree-digest.js'
import { type TinyFactors, writePeftAdapter } from '../../helpers/write-adapter.js'
import { writeModel } from '../../helpers/write-model.js'
import { readPlainCheckpoint } from '../../property/read-folder.js'

const f32 = (shape: number[], value: number): TinyTensor => {
  return {
    dtype: 'F32',
    shape,
    data: new Array(shape.reduce((product, extent) => product * extent, 1)).fill(value),
  }
}

interface Written {
  folder: string
  base: string
  adapter: string
  factors: Map<string, TinyFactors>
  output: string
}

const files = { 'config.json': '{"of":"base"}', 'tokenizer.json': '{}', 'nested/code.py': 'pass' }

async function family(
  t: ExecutionContext,
  options: Partial<FoldOptions> & { sharded?: boolean; rest?: Record<string, TinyTensor> } = {},
): Promise<Written & { family: Family }> {
  const { sharded, rest, ...more } = options
  const folder = tempFolder(t)
  const tensors = Object.entries(loraBase(1))
  const base = writeModel(join(folder, 'base'), {
    ...(sharded
      ? {
          shards: {
            'model-00001-of-00002.safetensors': Object.fromEntries(tensors.slice(0, 4)),
            'model-00002-of-00002.safetensors': Object.fromEntries(tensors.slice(4)),
          },
        }
      : { tensors: loraBase(1), metadata: { format: 'pt', note: 'kept' } }),
    files,
  })
  const adapter = join(folder, 'adapter')
  const factors = writePeftAdapter(adapter, { layers: loraLayers(3), files: { 'README.md': 'hi' }, rest })
  const output = join(folder, 'family')
  await fold({ base, tasks: { one: adapter }, output, ...more })
  return { folder, base, adapter, factors, output, family: await openFamily(output) }
}

/** The model that PEFT's merge would make, within what f32 arithmetic allows. */
function assertModel(
  t: ExecutionContext,
  tensors: ReadonlyMap<string, { dtype: string; shape: readonly number[]; data: Uint8Array }>,
  factors: ReadonlyMap<string, TinyFactors>,
  replaced: Record<string, TinyTensor> = {},
): void {
  const base = loraBase(1)
  const wanted = { ...base, ...replaced }
  t.deepEqual([...tensors.keys()].sort(), Object.keys(wanted).sort())
  for (const [name, { dtype, shape, data }] of tensors) {
    t.is(dtype, wanted[name]!.dtype)
    t.deepEqual([...shape], [...wanted[name]!.shape], name)
    const factor = factors.get(name.replace(/\.weight$/, ''))
    if (factor !== undefined) {
      const change = naiveProduct(factor, 3, 2, name === 'model.embed.weight').values
      t.true(excessError('F32', data, base[name]!, change, 1e-6) <= 0, name)
    } else if (replaced[name] !== undefined) {
      t.deepEqual(
        [...new Float32Array(Uint8Array.from(data).buffer)],
        [...(replaced[name].data as number[])],
        name,
      )
    } else if (dtype === 'F32')
      t.deepEqual(Buffer.from(data), Buffer.from(base[name]!.data as Uint8Array), name)
  }
}

test('a LoRA task comes out as the PEFT folder that it is, without its base', async (t) => {
  const { folder, base, adapter, family: opened } = await family(t)
  rmSync(base, { recursive: true })
  const events: Progress[] = []
  const result = await opened.materialize('one', join(folder, 'out'), {
    onProgress: (event) => events.push(event),
  })
  t.deepEqual(treeDigest(result.folder), treeDigest(adapter))
  t.is(result.tensors, 8)
  t.is(events.at(-1)!.bytesDone, result.bytes)
  t.is(events.at(-1)!.bytesTotal, result.bytes)
})

for (const copyBase of [false, true]) {
  for (const sharded of [false, true]) {
    const how = `${copyBase ? 'with' : 'without'} a copied base, ${sharded ? 'sharded' : 'one file'}`
    test(`merged it is the base with s·B·A added (${how})`, async (t) => {
      const { folder, base, factors, family: opened } = await family(t, { copyBase, sharded })
      if (copyBase) rmSync(base, { recursive: true })
      const events: Progress[] = []
      const onProgress = (event: Progress) => events.push(event)
      const result = await opened.materialize('one', join(folder, 'out'), { merged: true, onProgress })
      const { tensors, files: places } = readPlainCheckpoint(result.folder)
      assertModel(t, tensors, factors)
      for (const [name, text] of Object.entries(files))
        t.is(readFileSync(join(result.folder, name), 'utf8'), text)
      const names = sharded
        ? ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
        : ['model.safetensors']
      t.deepEqual([...new Set(places.values())].sort(), names)
      t.deepEqual([...result.files].sort(), [...Object.keys(files), ...names].sort())
      const checkpoint = await readCheckpoint(result.folder)
      if (!sharded) t.deepEqual({ ...checkpoint.files[0]!.metadata }, { format: 'pt', note: 'kept' })
      t.is(events.at(-1)!.bytesDone, events.at(-1)!.bytesTotal)
      t.true(events.every((event, i) => i === 0 || event.bytesDone >= events[i - 1]!.bytesDone))
    })
  }
}

test('tensors and tensor give the merged model in memory', async (t) => {
  const { factors, family: opened } = await family(t)
  const tensors = new Map()
  for await (const tensor of opened.tensors('one')) tensors.set(tensor.name, tensor)
  t.deepEqual([...tensors.keys()], [...tensors.keys()].sort())
  assertModel(t, tensors, factors)
  const one = await opened.tensor('model.conv.weight', { task: 'one', threads: 1 })
  t.deepEqual(one, tensors.get('model.conv.weight'))
  await t.throwsAsync(opened.tensor('no.such', { task: 'one' }), { code: 'NOT_FOUND' })
})

test('what the adapter has whole takes the place of the base’s, or joins it', async (t) => {
  const head = f32([3, 6], 7)
  const bias = f32([8], 5)
  const extra = f32([2], 9)
  const {
    folder,
    factors,
    family: opened,
  } = await family(t, {
    rank: 3,
    sharded: true,
    rest: {
      'base_model.model.head.weight': head,
      'base_model.model.model.l0.q.base_layer.bias': bias,
      'base_model.model.head.modules_to_save.bias': extra,
    },
  })
  const replaced = { 'head.weight': head, 'model.l0.q.bias': bias, 'head.bias': extra }
  const { folder: out } = await opened.materialize('one', join(folder, 'out'), { merged: true })
  const { tensors, files: places } = readPlainCheckpoint(out)
  t.is(places.get('head.bias'), 'model-00001-of-00002.safetensors')
  assertModel(t, tensors, factors, replaced)
  const streamed = new Map()
  for await (const tensor of opened.tensors('one')) streamed.set(tensor.name, tensor)
  assertModel(t, streamed, factors, replaced)
})

test('a lower rank merges to the best approximation', async (t) => {
  const { folder, output, family: opened } = await family(t, { rank: 1 })
  const { folder: out } = await opened.materialize('one', join(folder, 'out'), { merged: true })
  const manifest = JSON.parse(readFileSync(join(output, 'family.json'), 'utf8'))
  const { tensors } = readPlainCheckpoint(out)
  const base = loraBase(1)
  const { factors } = await family(t)
  for (const { module, relativeError } of manifest.tasks[0].layers) {
    const name = `${module}.weight`
    const wanted = naiveProduct(factors.get(module)!, 3, 2, module === 'model.embed').values
    const from = new Float32Array(Uint8Array.from(base[name]!.data as Uint8Array).buffer)
    const got = new Float32Array(Uint8Array.from(tensors.get(name)!.data).buffer)
    let lost = 0
    let all = 0
    for (const [i, change] of wanted.entries()) {
      lost += (got[i]! - from[i]! - change) ** 2
      all += change ** 2
    }
    t.true(
      Math.abs(Math.sqrt(lost / all) - relativeError) < 1e-5,
      `${module}: ${Math.sqrt(lost / all)}, ${relativeError}`,
    )
  }
})

test('Conv1D weights get the transpose', async (t) => {
  const folder = tempFolder(t)
  const tensors = { 'c.weight': f32([2, 3], 1), 'square.weight': f32([2, 2], 1) }
  const base = writeModel(join(folder, 'base'), { tensors })
  const factors = writePeftAdapter(join(folder, 'adapter'), {
    layers: { c: { rows: 3, columns: 2, rank: 1 }, square: { rows: 2, columns: 2, rank: 1 } },
    config: { fan_in_fan_out: true },
  })
  await fold({ base, tasks: { one: join(folder, 'adapter') }, output: join(folder, 'family') })
  const opened = await openFamily(join(folder, 'family'))
  for (const [module, factor] of factors) {
    const { data } = await opened.tensor(`${module}.weight`, { task: 'one' })
    const wanted = naiveProduct(factor, 1, 2, true).values.map((value) => value + 1)
    const got = new Float32Array(data.buffer)
    t.true(got.every((value, i) => Math.abs(value - wanted[i]!) < 1e-6))
  }
})

test('family and base can be moved together, and a base alone with a word about it', async (t) => {
  const { folder, base, output } = await family(t)
  mkdirSync(join(folder, 'elsewhere'))
  renameSync(base, join(folder, 'elsewhere', 'base'))
  renameSync(output, join(folder, 'elsewhere', 'family'))
  symlinkSync(join(folder, 'elsewhere', 'family'), join(folder, 'link'))
  const moved = await openFamily(join(folder, 'link'))
  const first = await moved.materialize('one', join(folder, 'first'), { merged: true })
  renameSync(join(folder, 'elsewhere', 'base'), join(folder, 'other'))
  const error = await t.throwsAsync(moved.materialize('one', join(folder, 'out'), { merged: true }), {
    instanceOf: TaskfoldError,
  })
  t.is(error.code, 'NOT_FOUND')
  t.regex(error.message, /its base base is not there \(it was at \.\.\/base/)
  t.regex(error.hint!, /--base PATH/)
  t.deepEqual(readdirSync(folder).sort(), ['adapter', 'elsewhere', 'first', 'link', 'other'])
  const second = await moved.materialize('one', join(folder, 'second'), {
    merged: true,
    base: join(folder, 'other'),
  })
  t.deepEqual(treeDigest(second.folder), treeDigest(first.folder))
  const one = await moved.tensor('ids', { task: 'one', base: join(folder, 'other') })
  t.is(one.dtype, 'I64')
})

test('another base, or one that was changed, is refused and leaves nothing', async (t) => {
  const { folder, base, family: opened } = await family(t)
  const other = writeModel(join(folder, 'other'), { tensors: loraBase(2), files })
  const wrong = { merged: true, base: other }
  const error = await t.throwsAsync(opened.materialize('one', join(folder, 'out'), wrong), {
    instanceOf: TaskfoldError,
  })
  t.is(error.code, 'HASH_MISMATCH')
  t.is(error.file, other)
  t.regex(error.message, /its tensors are not those of base/)
  t.regex(error.hint!, /--base PATH/)
  await t.throwsAsync(opened.tensor('ids', { task: 'one', base: other }), { code: 'HASH_MISMATCH' })
  // One bit of a tensor that no layer touches.
  const path = join(base, 'model.safetensors')
  const bytes = readFileSync(path)
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(path, bytes)
  await t.throwsAsync(opened.materialize('one', join(folder, 'out'), { merged: true }), {
    code: 'HASH_MISMATCH',
  })
  await t.throwsAsync(opened.tensors('one').next(), { code: 'HASH_MISMATCH' })
  t.deepEqual(readdirSync(folder).sort(), ['adapter', 'base', 'family', 'other'])
})

test('a base that changes between two tensors is noticed', async (t) => {
  const { base, family: opened } = await family(t)
  await opened.tensor('ids', { task: 'one' })
  const path = join(base, 'model.safetensors')
  const bytes = readFileSync(path)
  bytes[bytes.length - 1]! ^= 1
  writeFileSync(path, bytes)
  await t.throwsAsync(opened.tensor('ids', { task: 'one' }), { code: 'INPUT_CHANGED' })
})

test('the family and the base are never written to', async (t) => {
  const { folder, base, output, family: opened } = await family(t, { copyBase: true })
  const before = [treeDigest(base), treeDigest(output)]
  for (const out of [output, join(output, 'tasks/new'), folder]) {
    for (const merged of [false, true]) {
      const error = await t.throwsAsync(opened.materialize('one', out, { force: true, merged }), {
        instanceOf: TaskfoldError,
      })
      t.true(['INVALID_ARGUMENT', 'OUTPUT_EXISTS'].includes(error.code), `${out}: ${error.code}`)
    }
  }
  await t.throwsAsync(opened.materialize('one', base, { force: true, merged: true, base }), {
    code: 'INVALID_ARGUMENT',
  })
  t.deepEqual([treeDigest(base), treeDigest(output)], before)
})

test('an abort leaves nothing', async (t) => {
  const { folder, family: opened } = await family(t)
  for (const merged of [false, true]) {
    const stop = new AbortController()
    const run = opened.materialize('one', join(folder, 'out'), {
      merged,
      signal: stop.signal,
      onProgress: () => stop.abort(),
    })
    await t.throwsAsync(run, { code: 'CANCELLED' })
    t.deepEqual(readdirSync(folder).sort(), ['adapter', 'base', 'family'])
  }
})

test('merged means nothing to a full fine-tune, which is a whole model already', async (t) => {
  const { folder, base, adapter } = await family(t)
  const tuned = writeModel(join(folder, 'tuned'), { tensors: loraBase(2), files })
  const output = join(folder, 'mixed')
  await fold({ base, tasks: { full: tuned, one: adapter }, output, density: 1 })
  const opened = await openFamily(output)
  t.deepEqual([...opened.tasks], ['full', 'one'])
  const { folder: out } = await opened.materialize('full', join(folder, 'out'), { merged: true })
  const wanted = readPlainCheckpoint(tuned).tensors
  for (const [name, { data }] of readPlainCheckpoint(out).tensors)
    t.deepEqual(data, wanted.get(name)!.data, name)
  await opened.materialize('one', join(folder, 'one'), { merged: true })
})
