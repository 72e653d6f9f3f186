import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { fold } from '../../../lib/fold/fold.js'
import type { FoldOptions } from '../../../lib/fold/fold-options.js'
import type { Progress } from '../../../lib/io/progress.js'
import type { AdapterInspection } from '../../../lib/report/adapter-inspection.js'
import { formatInspection } from '../../../lib/report/format-inspection.js'
import { inspect } from '../../../lib/report/inspect.js'
import type { FamilyInspection } from '../../../lib/report/inspection-types.js'
import { verify } from '../../../lib/report/verify.js'
import type { VerifyResult } from '../../../lib/report/verify-types.js'
import { loraBase, loraLayers } from '../../helpers/lora-models.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { type TinyPeft, writeKohyaAdapter, writePeftAdapter } from '../../helpers/write-adapter.js'
import { writeModel } from '../../helpers/write-model.js'

const rest = { 'base_model.model.head.weight': { dtype: 'F32', shape: [2, 6], data: new Array(12).fill(2) } }

async function family(t: ExecutionContext, options: Partial<FoldOptions> = {}, peft: Partial<TinyPeft> = {}) {
  const folder = tempFolder(t)
  const base = writeModel(join(folder, 'base'), { tensors: loraBase(1) })
  const full = writeModel(join(folder, 'full'), { tensors: loraBase(2) })
  const adapter = join(folder, 'adapter')
  writePeftAdapter(adapter, { layers: loraLayers(3), rest, files: { 'README.md': 'hi' }, ...peft })
  const output = join(folder, 'family')
  await fold({ base, tasks: { one: adapter, full }, output, ...options })
  return { folder, base, full, adapter, output }
}

async function problemsOf(t: ExecutionContext, run: Promise<VerifyResult>) {
  const error = await t.throwsAsync(run, { instanceOf: TaskfoldError })
  t.is(error.code, 'VERIFY_FAILED', error.message)
  return error.problems!.map(({ code, file, tensor, task }) => ({ code, file, tensor, task }))
}

test('an honest family passes, and progress reaches its total', async (t) => {
  const { output, adapter, full } = await family(t, { copyBase: true, rank: 2 })
  const events: Progress[] = []
  const against = { one: adapter, full }
  const result = await verify(output, { against, onProgress: (event) => events.push(event) })
  t.like(result.tasks, {
    0: { name: 'one', codec: 'lora', tensors: 9, kept: null, layers: 4 },
    1: { name: 'full', codec: 'exact', layers: null },
    length: 2,
  })
  t.deepEqual(JSON.parse(JSON.stringify(result)), result)
  t.is(events.at(-1)!.bytesDone, events.at(-1)!.bytesTotal)
  t.true(events.every((event) => event.bytesDone <= event.bytesTotal))
  t.deepEqual(result.unlisted, [])
})

test('against its original, a copy is exact and a full rank nearly so', async (t) => {
  for (const options of [{}, { rank: 3 }, { energy: 1 }]) {
    const { output, adapter } = await family(t, options)
    const { against } = (await verify(output, { against: { one: adapter } })).tasks[0]!
    t.true(against!.exact, JSON.stringify(against))
    t.true(against!.relativeError! < 1e-6)
    t.true(against!.retainedEnergy! > 1 - 1e-12)
    t.deepEqual(
      against!.layers!.map(({ module, rank, originalRank }) => [module, rank, originalRank]),
      Object.keys(loraLayers()).map((module) => [module, 3, 3]),
    )
  }
})

test('a lower rank is no fault: its error is what the manifest says', async (t) => {
  const { output, adapter } = await family(t, { rank: 1 })
  const { against } = (await verify(output, { against: { one: adapter } })).tasks[0]!
  const { tasks } = JSON.parse(readFileSync(join(output, 'family.json'), 'utf8'))
  t.false(against!.exact)
  for (const [i, { relativeError, retainedEnergy }] of tasks[0].layers.entries()) {
    const found = against!.layers![i]!
    t.true(Math.abs(found.relativeError! - relativeError) < 1e-6)
    t.true(Math.abs(found.retainedEnergy! - retainedEnergy) < 1e-6)
  }
  t.true(against!.relativeError! > 0.01 && against!.retainedEnergy! < 0.9999)
})

test('factors that were rounded to another dtype are not exact', async (t) => {
  const { output, adapter } = await family(t, { rank: 3 }, { dtype: 'BF16' })
  const { against } = (await verify(output, { against: { one: adapter } })).tasks[0]!
  t.false(against!.exact)
  t.true(against!.relativeError! > 1e-6 && against!.relativeError! < 0.02)
})

test('another adapter is recognised, layer by layer', async (t) => {
  const { folder, output } = await family(t)
  const { 'model.l0.q': q, 'model.embed': _, ...layers } = loraLayers(3)
  writePeftAdapter(join(folder, 'other'), {
    layers: { ...layers, 'model.l0.q': { ...q!, rows: 5 }, 'model.l1.c': { rows: 6, columns: 9, rank: 3 } },
    rest: {
      'base_model.model.head.weight': { dtype: 'F32', shape: [2, 6], data: new Array(12).fill(3) },
      'base_model.model.head.bias': { dtype: 'F32', shape: [2], data: [1, 2] },
    },
  })
  const found = await problemsOf(t, verify(output, { against: { one: join(folder, 'other') } }))
  t.deepEqual(found.map(({ tensor }) => tensor).sort(), [
    'base_model.model.head.bias',
    'base_model.model.head.weight',
    'base_model.model.model.embed.lora_embedding_B',
    'base_model.model.model.l0.q.lora_B.weight',
    'base_model.model.model.l1.c.lora_B.weight',
  ])
  t.true(found.every(({ code, task }) => code === 'VERIFY_FAILED' && task === 'one'))
})

test('damage anywhere is found, all of it in one run', async (t) => {
  const { output } = await family(t, { copyBase: true })
  const damage = (path: string) => {
    const bytes = readFileSync(join(output, path))
    bytes[bytes.length - 1]! ^= 1
    writeFileSync(join(output, path), bytes)
  }
  damage('base/model.safetensors')
  damage('tasks/one/adapter_model.safetensors')
  rmSync(join(output, 'tasks/one/README.md'))
  writeFileSync(join(output, 'base/extra.json'), '{}')
  const found = await problemsOf(t, verify(output))
  t.deepEqual(found.map(({ code, file }) => [code, file!.slice(output.length + 1)]).sort(), [
    ['HASH_MISMATCH', 'base'],
    ['HASH_MISMATCH', 'base/model.safetensors'],
    ['HASH_MISMATCH', 'tasks/one/adapter_model.safetensors'],
    ['PACK_INVALID', 'tasks/one/README.md'],
  ])
})

test('an adapter that is no longer one is a problem, not the end', async (t) => {
  const { output } = await family(t)
  const path = join(output, 'tasks/one/adapter_config.json')
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace('"use_dora": false', '"use_dora": true '))
  t.deepEqual(await problemsOf(t, verify(output)), [
    { code: 'ADAPTER_UNSUPPORTED', file: path, tensor: undefined, task: undefined },
  ])
})

test('files that nothing vouches for are listed', async (t) => {
  const { output } = await family(t, { copyBase: true })
  for (const path of ['base/notes.txt', 'tasks/one/vocab.txt', 'merged/a.txt'])
    writeFileSync(join(output, path), '')
  t.deepEqual((await verify(output)).unlisted, ['base/notes.txt', 'merged/a.txt', 'tasks/one/vocab.txt'])
})

test('inspect shows LoRA tasks: ranks, layers, bytes, energy', async (t) => {
  const { output } = await family(t, { rank: 2 })
  const result = (await inspect(output)) as FamilyInspection
  const [one] = result.tasks
  if (one?.codec !== 'lora') return t.fail()
  t.like(one, { rank: 2, originalRank: 3, layers: { length: 4 } })
  t.is(one.retainedEnergy, Math.min(...one.layers.map((layer) => layer.retainedEnergy)))
  t.like(result, { base: { reference: '../base', copiedBytes: 0 }, merged: { tensors: 9 } })
  t.deepEqual(JSON.parse(JSON.stringify(result)), result)
  const text = formatInspection(result)
  t.regex(text, /base .*, at \.\.\/base/)
  t.regex(text, /ranks +rank 2/)
  t.regex(text, /LoRA task +bytes +before/)
  t.regex(text, /task +bytes +of original +kept/)
})

test('inspect of a family of LoRA tasks alone: no θ*, bytes add up', async (t) => {
  const { folder, base, adapter } = await family(t)
  const output = join(folder, 'pure')
  const { totals } = await fold({
    base,
    tasks: { one: adapter },
    output,
    copyBase: true,
    energy: 0.9,
    maxRank: 2,
  })
  const result = (await inspect(output)) as FamilyInspection
  t.is(result.merged, null)
  t.is(result.totals.familyBytes, totals.bytes + readFileSync(join(output, 'family.json')).length)
  const text = formatInspection(result)
  t.false(text.includes('λ'))
  t.regex(text, /ranks +energy 0.9, at most 2/)
  t.regex(text, /in the family/)
  t.regex(text, /one adapter per task/)
})

test('inspect of adapters: layers, scales, dtypes, and spectra when asked for', async (t) => {
  const { folder, adapter } = await family(t, {}, { metadata: { format: 'pt', note: '\u001b[2Jevil' } })
  const plain = (await inspect(adapter)) as AdapterInspection
  t.like(plain, {
    kind: 'adapter',
    format: 'peft',
    base: 'base',
    rank: 3,
    totals: { layers: 4 },
    otherFiles: ['README.md'],
  })
  t.deepEqual(
    plain.layers.map(({ module, kind, rows, columns, scale }) => [module, kind, rows, columns, scale]),
    [
      ['model.conv', 'conv2d', 4, 27, 2],
      ['model.embed', 'embedding', 6, 11, 2],
      ['model.l0.q', 'linear', 8, 6, 2],
      ['model.l0.square', 'linear', 6, 6, 2],
    ],
  )
  t.is(plain.layers[0]!.singularValues, undefined)
  t.like(plain.rest, { 0: { name: 'base_model.model.head.weight', bytes: 48 }, length: 1 })
  const spectra = (await inspect(adapter, { spectra: true, threads: 1 })) as AdapterInspection
  for (const { singularValues, energy } of spectra.layers) {
    t.is(singularValues!.length, 3)
    t.true(singularValues!.every((value, i) => i === 0 || value <= singularValues![i - 1]!))
    t.true(Math.abs(singularValues!.reduce((sum, value) => sum + value ** 2, 0) - energy!) < 1e-9 * energy!)
  }
  t.deepEqual(JSON.parse(JSON.stringify(spectra)), spectra)
  const text = formatInspection(spectra)
  t.false(text.includes('\u001b'))
  t.regex(text, /σ₁ +σ last +90 % energy/)
  t.regex(formatInspection(plain), /tensors it has whole/)
  const kohya = join(folder, 'style.safetensors')
  writeKohyaAdapter(kohya, { layers: { lora_unet_q: { rows: 4, columns: 4, rank: 2 } }, alpha: 1 })
  t.like(await inspect(kohya), { kind: 'adapter', format: 'kohya', layers: { 0: { alpha: 1, scale: 0.5 } } })
  // A variant that is not supported is still a file of tensors.
  writeKohyaAdapter(kohya, {
    layers: { lora_unet_q: { rows: 4, columns: 4, rank: 2 } },
    rest: { 'lora_unet_q.dora_scale': { dtype: 'F32', shape: [1], data: [1] } },
  })
  t.is((await inspect(kohya)).kind, 'checkpoint')
})
