import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { describePlan } from '../../../lib/fold/describe-plan.js'
import { fold } from '../../../lib/fold/fold.js'
import type { FoldOptions } from '../../../lib/fold/fold-options.js'
import { planFold } from '../../../lib/fold/fold-plan.js'
import type { Progress } from '../../../lib/io/progress.js'
import { openAdapter } from '../../../lib/lora/open-adapter.js'
import { readManifest } from '../../../lib/pack/manifest.js'
import { loraBase, loraLayers } from '../../helpers/lora-models.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { treeDigest } from '../../helpers/tree-digest.js'
import { writeKohyaAdapter, writePeftAdapter } from '../../helpers/write-adapter.js'
import { writeModel } from '../../helpers/write-model.js'

function inputs(t: ExecutionContext): FoldOptions & { folder: string; adapter: string; tuned: string } {
  const folder = tempFolder(t)
  const files = { 'config.json': '{"a":1}', 'tokenizer.json': '{}' }
  const base = writeModel(join(folder, 'base'), { tensors: loraBase(1), files })
  const tuned = writeModel(join(folder, 'tuned'), { tensors: loraBase(2), files })
  const adapter = join(folder, 'adapter')
  writePeftAdapter(adapter, { layers: loraLayers(3), files: { 'README.md': 'hi' }, seed: 3 })
  return { folder, adapter, tuned, base, tasks: { a: adapter }, output: join(folder, 'family') }
}

const codes = (problems: readonly TaskfoldError[]) => problems.map(({ code }) => code)

test('a family of LoRA tasks has no θ*, and says where its base is', async (t) => {
  const { folder, adapter, ...options } = inputs(t)
  const result = await fold({ ...options, rank: 2 })
  t.deepEqual(readdirSync(options.output).sort(), ['family.json', 'tasks'])
  t.deepEqual(readdirSync(join(options.output, 'tasks/a')).sort(), [
    'README.md',
    'adapter_config.json',
    'adapter_model.safetensors',
  ])
  const manifest = await readManifest(options.output)
  t.is(manifest.merged, undefined)
  t.deepEqual(manifest.method, { lora: { rule: { kind: 'rank', rank: 2 } } })
  t.is(manifest.base.reference, '../base')
  t.regex(manifest.base.fingerprint!, /^[0-9a-f]{32}$/)
  const [task] = manifest.tasks
  if (task?.codec !== 'lora') return t.fail()
  t.is(task.rank, 2)
  t.deepEqual(
    task.layers.map(({ module, rank, originalRank }) => [module, rank, originalRank]),
    Object.keys(loraLayers()).map((module) => [module, 2, 3]),
  )
  t.true(
    task.layers.every(
      ({ retainedEnergy: kept, relativeError: lost }) => kept < 1 && Math.abs(lost ** 2 + kept - 1) < 1e-12,
    ),
  )
  t.like(result, {
    mergedBytes: 0,
    baseBytes: 0,
    tasks: { 0: { codec: 'lora', kept: null, lora: { rank: 2, originalRank: 3, layers: 4 } } },
  })
  const written = await openAdapter(join(options.output, 'tasks/a'))
  t.true(written.layers.every(({ scale, rank }) => scale === 1 && rank === 2))
})

test('without a rule an adapter is taken over byte for byte', async (t) => {
  const { adapter, ...options } = inputs(t)
  await fold(options)
  t.deepEqual(treeDigest(join(options.output, 'tasks/a')), treeDigest(adapter))
  t.deepEqual((await readManifest(options.output)).method, { lora: { rule: null } })
})

test('the base is copied byte for byte when asked for, index and configs too', async (t) => {
  const { folder, ...options } = inputs(t)
  const tensors = Object.entries(loraBase(1))
  const sharded = writeModel(join(folder, 'sharded'), {
    shards: {
      'model-00001-of-00002.safetensors': Object.fromEntries(tensors.slice(0, 4)),
      'model-00002-of-00002.safetensors': Object.fromEntries(tensors.slice(4)),
    },
    files: { 'config.json': '{}', 'nested/code.py': 'pass' },
  })
  const seen: Progress[] = []
  const result = await fold({
    ...options,
    base: sharded,
    copyBase: true,
    onProgress: (event) => seen.push(event),
  })
  t.deepEqual(treeDigest(join(options.output, 'base')), treeDigest(sharded))
  const { base } = await readManifest(options.output)
  t.is(base.reference, undefined)
  t.is(base.files!.length, 5)
  t.is(
    result.baseBytes,
    base.files!.reduce((sum, { bytes }) => sum + bytes, 0),
  )
  t.deepEqual(
    [...new Set(seen.map(({ phase }) => phase))],
    ['read headers', 'fingerprint', 'decompose', 'copy'],
  )
  for (const phase of ['fingerprint', 'decompose', 'copy']) {
    const last = seen.filter((event) => event.phase === phase).at(-1)!
    t.is(last.bytesDone, last.bytesTotal)
  }
})

test('the fingerprint of the base is the same however it is split and folded', async (t) => {
  const { folder, adapter, tuned, ...options } = inputs(t)
  const tensors = Object.entries(loraBase(1))
  const shards = {
    'model-00001-of-00002.safetensors': Object.fromEntries(tensors.slice(0, 5)),
    'model-00002-of-00002.safetensors': Object.fromEntries(tensors.slice(5)),
  }
  const split = writeModel(join(folder, 'split'), { shards })
  const prints: unknown[] = []
  for (const [base, tasks] of [
    [options.base, { a: adapter }],
    [split, { a: adapter }],
    [split, { a: adapter, full: tuned }],
    [split, { full: tuned }],
  ] as const) {
    await fold({ base, tasks, output: options.output, force: true })
    prints.push((await readManifest(options.output)).base.fingerprint)
  }
  t.is(new Set(prints).size, 1)
})

test('a mixed family: θ* of the full fine-tunes alone, tasks in the given order', async (t) => {
  const { folder, adapter, tuned, ...options } = inputs(t)
  const alone = join(folder, 'alone')
  await fold({ ...options, tasks: { full: tuned }, output: alone })
  const tasks = { x: adapter, full: tuned, y: adapter }
  const result = await fold({ ...options, tasks, energy: 0.9, maxRank: 2 })
  t.deepEqual(treeDigest(join(options.output, 'merged')), treeDigest(join(alone, 'merged')))
  t.deepEqual(treeDigest(join(options.output, 'tasks/full')), treeDigest(join(alone, 'tasks/full')))
  const manifest = await readManifest(options.output)
  t.deepEqual(
    manifest.tasks.map(({ name, codec }) => [name, codec]),
    [
      ['x', 'lora'],
      ['full', 'exact'],
      ['y', 'lora'],
    ],
  )
  t.like(manifest.method, {
    merge: 'task-arithmetic',
    lora: { rule: { kind: 'energy', share: 0.9 }, maxRank: 2 },
  })
  t.deepEqual(
    result.tasks.map(({ codec, kept }) => [codec, kept !== null]),
    [
      ['lora', false],
      ['exact', true],
      ['lora', false],
    ],
  )
  t.true(result.warnings.some(({ kind, task }) => kind === 'same-path' && task === 'y'))
})

test('the same bytes with any number of threads', async (t) => {
  const { tuned, adapter, ...options } = inputs(t)
  const tasks = { a: adapter, full: tuned }
  await fold({ ...options, tasks, rank: 2, threads: 1 })
  const first = treeDigest(options.output)
  await fold({ ...options, tasks, rank: 2, threads: 5, force: true })
  t.deepEqual(treeDigest(options.output), first)
})

test('the plan describes LoRA tasks, and its predictions are upper bounds', async (t) => {
  const { folder, tuned, adapter, ...options } = inputs(t)
  writePeftAdapter(join(folder, 'uneven'), {
    layers: {
      'model.l0.q': { rows: 8, columns: 6, rank: 4 },
      'model.l0.square': { rows: 6, columns: 6, rank: 1 },
    },
    config: { r: 4, rank_pattern: { square: 1 } },
    rest: { 'base_model.model.head.weight': { dtype: 'F32', shape: [3, 6], data: new Array(18).fill(1) } },
    dtype: 'F16',
  })
  const tasks = { a: adapter, full: tuned, uneven: join(folder, 'uneven') }
  for (const rule of [
    {},
    { rank: 1 },
    { rank: 4 },
    { rank: 9 },
    { energy: 0.5 },
    { energy: 1, maxRank: 2 },
    { budget: { parameters: 200 } },
  ]) {
    for (const copyBase of [false, true]) {
      const given = { ...options, ...rule, tasks, copyBase, force: true }
      const plan = await planFold(given)
      t.deepEqual(plan.problems, [])
      const description = describePlan(plan)
      t.deepEqual(JSON.parse(JSON.stringify(description)).adapters, description.adapters)
      t.deepEqual(
        description.adapters.map(({ name, layers, originalRank }) => [name, layers, originalRank]),
        [
          ['a', 4, 3],
          ['uneven', 2, 4],
        ],
      )
      const result = await fold(given)
      const byName = new Map(result.tasks.map((task) => [task.name, task]))
      for (const { name, bytes, rank } of plan.predicted.adapters) {
        const task = byName.get(name)!
        t.true(task.bytes <= bytes, `${JSON.stringify(rule)} ${name}: ${task.bytes} > ${bytes}`)
        t.true(task.lora!.rank <= rank)
      }
      t.is(result.baseBytes, plan.predicted.baseBytes)
      const all = treeDigest(options.output).reduce(
        (sum, [name]) => sum + readFileSync(join(options.output, name)).length,
        0,
      )
      t.true(all <= plan.predicted.totalBytes)
    }
  }
})

test('a plan without full fine-tunes merges nothing and says so', async (t) => {
  const { adapter: _, ...options } = inputs(t)
  const plan = await planFold(options)
  t.deepEqual(plan.problems, [])
  t.like(describePlan(plan), {
    method: { merge: null, lora: { rule: null } },
    merged: { bytes: 0, files: 0 },
    tasks: { length: 0 },
  })
})

test('all problems of LoRA tasks are reported at once', async (t) => {
  const { folder, adapter, tuned, ...options } = inputs(t)
  writePeftAdapter(join(folder, 'strange'), { layers: { 'no.such': { rows: 2, columns: 2, rank: 1 } } })
  writePeftAdapter(join(folder, 'misfit'), { layers: { 'model.l0.q': { rows: 5, columns: 6, rank: 1 } } })
  writePeftAdapter(join(folder, 'pissa'), {
    layers: { 'model.l0.q': { rows: 8, columns: 6, rank: 1 } },
    config: { init_lora_weights: 'pissa' },
  })
  const tasks = {
    a: adapter,
    strange: join(folder, 'strange'),
    misfit: join(folder, 'misfit'),
    pissa: join(folder, 'pissa'),
  }
  mkdirSync(options.output)
  writeModel(options.output, { tensors: {} })
  const { problems } = await planFold({ ...options, tasks })
  t.deepEqual(codes(problems), ['OUTPUT_EXISTS', 'ADAPTER_INVALID', 'ADAPTER_INVALID', 'ADAPTER_UNSUPPORTED'])
  t.deepEqual(
    problems.map(({ task }) => task),
    [undefined, 'strange', 'misfit', 'pissa'],
  )
  t.regex(problems[1]!.message, /^task strange: .*module "no.such" has no weight in the base/)
})

test('a budget without room for one component a layer is found before anything is written', async (t) => {
  const { adapter: _, ...options } = inputs(t)
  const { problems } = await planFold({ ...options, budget: { parameters: 60 } })
  t.deepEqual(codes(problems), ['INVALID_ARGUMENT'])
  t.is(problems[0]!.task, 'a')
})

test('an adapter that cannot be opened is a problem beside the others', async (t) => {
  const { folder, adapter, ...options } = inputs(t)
  writePeftAdapter(join(folder, 'dora'), {
    layers: { 'model.l0.q': { rows: 8, columns: 6, rank: 1 } },
    config: { use_dora: true },
  })
  const error = await t.throwsAsync(
    planFold({ ...options, tasks: { a: adapter, dora: join(folder, 'dora'), gone: join(folder, 'gone') } }),
    { code: 'PREFLIGHT_FAILED' },
  )
  t.deepEqual(codes((error as TaskfoldError).problems!), ['ADAPTER_UNSUPPORTED', 'NOT_FOUND'])
  t.deepEqual(
    (error as TaskfoldError).problems!.map(({ task }) => task),
    ['dora', 'gone'],
  )
})

test('a file of factors is not taken for a model', async (t) => {
  const { folder, adapter, ...options } = inputs(t)
  const kohya = join(folder, 'style.safetensors')
  writeKohyaAdapter(kohya, { layers: { lora_unet_q: { rows: 4, columns: 4, rank: 2 } } })
  for (const path of [kohya, join(adapter, 'adapter_model.safetensors')]) {
    const error = await t.throwsAsync(planFold({ ...options, tasks: { a: path } }), {
      code: 'ADAPTER_UNSUPPORTED',
    })
    t.regex((error as TaskfoldError).hint!, /give a PEFT folder/)
  }
})

test('an adapter of the Hub’s cache is a LoRA task', async (t) => {
  const { folder, ...options } = inputs(t)
  const commit = 'd'.repeat(40)
  const repo = join(folder, 'cache', 'models--org--adapter')
  mkdirSync(join(repo, 'refs'), { recursive: true })
  writeFileSync(join(repo, 'refs', 'main'), commit)
  writePeftAdapter(join(repo, 'snapshots', commit), { layers: loraLayers(3) })
  await fold({ ...options, tasks: { a: 'org/adapter@main' }, cacheDir: join(folder, 'cache') })
  const [task] = (await readManifest(options.output)).tasks
  t.like(task, { codec: 'lora', source: { name: 'org/adapter@main' } })
})

test('options for LoRA tasks without one are refused, not ignored', async (t) => {
  const { tuned, adapter: _, ...options } = inputs(t)
  const { problems } = await planFold({ ...options, tasks: { full: tuned }, rank: 4, copyBase: true })
  t.deepEqual(codes(problems), ['INVALID_ARGUMENT', 'INVALID_ARGUMENT'])
})

test('an adapter is an input: never replaced', async (t) => {
  const { adapter, ...options } = inputs(t)
  const before = treeDigest(adapter)
  for (const output of [adapter, join(adapter, '..')]) {
    await t.throwsAsync(fold({ ...options, output, force: true }), { code: 'INVALID_ARGUMENT' })
  }
  t.deepEqual(treeDigest(adapter), before)
})

test('a base of the Hub is referred to by its commit, a link by its own path', async (t) => {
  const { folder, ...options } = inputs(t)
  const commit = 'c'.repeat(40)
  const repo = join(folder, 'cache', 'models--org--base')
  mkdirSync(join(repo, 'refs'), { recursive: true })
  mkdirSync(join(repo, 'snapshots'))
  writeFileSync(join(repo, 'refs', 'main'), commit)
  writeModel(join(repo, 'snapshots', commit), { tensors: loraBase(1) })
  await fold({ ...options, base: 'org/base', cacheDir: join(folder, 'cache') })
  t.is((await readManifest(options.output)).base.reference, `org/base@${commit}`)
  t.is((await readManifest(options.output)).base.name, 'org/base')
  symlinkSync(options.base, join(folder, 'link'))
  await fold({ ...options, base: join(folder, 'link'), force: true })
  t.is((await readManifest(options.output)).base.reference, '../link')
  t.true(existsSync(options.output))
})

test('an abort leaves nothing', async (t) => {
  const { folder, ...options } = inputs(t)
  const before = readdirSync(folder)
  for (const phase of ['fingerprint', 'decompose', 'copy']) {
    const stop = new AbortController()
    const onProgress = (event: Progress) => {
      if (event.phase === phase) stop.abort()
    }
    await t.throwsAsync(fold({ ...options, rank: 2, copyBase: true, signal: stop.signal, onProgress }), {
      code: 'CANCELLED',
    })
    t.deepEqual(readdirSync(folder), before, phase)
  }
})
