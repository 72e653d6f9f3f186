// Whole folds and unfolds, files to files, against torch over safetensors and against cp.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { fold, openFamily } from '../../dist/index.mjs'
import { compare, dropFromCache, filesBelow, rowsOf } from './compare.mjs'

const DENSITY = 0.1
/** Bytes a parameter that torch.kthvalue needs beside a model in f32: values, a copy, 64-bit indices. */
const KTH_BYTES = 4 + 4 + 8

/** Says how equal two checkpoints are; throws when `allowed` is exceeded. */
export async function equality(torch, a, b, allowed = { share: 0, ulps: 0 }) {
  const { elements, differ, ulps, missing } = await torch.ask({ run: 'check_models', a, b })
  if (missing.length > 0)
    throw new Error(`${a} and ${b} do not have the same tensors: ${missing.slice(0, 3)}`)
  if (differ > allowed.share * elements || ulps > allowed.ulps)
    throw new Error(
      `${a} and ${b} differ in ${differ} of ${elements} entries by up to ${ulps} units in the last place`,
    )
  return differ === 0 ? 'bit-equal' : `${((100 * differ) / elements).toPrecision(2)} % of entries 1 ulp apart`
}

/** @returns rows of fold, warm and cold, and of unfold, warm and cold */
export async function filesSection({ work, family, rounds, threads, torch, memoryBytes }) {
  const at = (name) => path.join(work, name)
  const clear = (...names) => {
    for (const name of names) rmSync(at(name), { recursive: true, force: true })
  }
  const ready = (names, run, options) => ({
    ...options,
    run,
    before() {
      clear(...names)
      execFileSync('sync')
    },
  })
  const named = family.tasks.map((folder, i) => ({ name: `t${i}`, path: folder }))
  const inputs = [family.base, ...family.tasks]
  const job = { base: family.base, tasks: family.tasks, density: DENSITY }
  const outputs = ['copy', 'family', 'torch']
  const ours = () =>
    fold({
      base: family.base,
      tasks: named,
      output: at('family'),
      density: DENSITY,
      threads,
      sync: false,
    }).then(() => undefined)

  clear(...outputs, 'written', 'unfolded')
  await fold({
    base: family.base,
    tasks: named,
    output: at('written'),
    density: DENSITY,
    threads,
    sync: false,
  })
  const title = `fold ${(family.modelBytes / 2 ** 30).toFixed(2)} GiB bf16, ${named.length} tasks, ${DENSITY * 100} %`
  const alternatives = { 'taskfold (API, no fsync)': ready(outputs, ours) }
  const readAndCopy = () => {
    execFileSync('sh', ['-c', 'cat "$@" > /dev/null', 'sh', ...inputs.flatMap(filesBelow)])
    execFileSync('cp', ['-r', at('written'), at('copy')])
  }
  alternatives['cat of all inputs + cp of all outputs'] = ready(outputs, readAndCopy)
  const equal = {}
  const targets = { 'cat of all inputs + cp of all outputs': '≥ 0.67× (we: ≤ 1.5 times its time)' }
  if (torch !== null) {
    for (const way of ['kthvalue', 'bincount']) {
      const name = `torch, tensor by tensor, ${way}`
      targets[name] = '≥ 40×'
      if (way === 'kthvalue' && (family.modelBytes / 2) * KTH_BYTES > memoryBytes / 2) continue
      const run = () => torch.ask({ run: `fold ${way}`, ...job, output: at('torch') })
      clear('torch')
      await run()
      const merged = await equality(torch, at('written/merged'), at('torch/merged'), { share: 1e-4, ulps: 1 })
      const pack = await openFamily(at('written'))
      const found = []
      for (const { name: task } of merged === 'bit-equal' ? named : []) {
        await pack.materialize(task, at('unfolded'), { threads, sync: false, force: true })
        await torch.ask({ run: 'unfold', family: at('torch'), task, output: at('torch-unfolded') })
        found.push(await equality(torch, at('unfolded'), at('torch-unfolded')))
        clear('unfolded', 'torch-unfolded')
      }
      pack.close()
      equal[name] =
        merged === 'bit-equal' ? 'θ* and every task bit-equal' : `θ*: ${merged}; tasks not compared`
      alternatives[name] = ready(outputs, run, { slow: true })
    }
  }
  const about = { job: title, ours: 'taskfold (API, no fsync)', equality: equal, targets }
  const rows = rowsOf(about, await compare(alternatives, rounds))
  rows.push(...(await cold(about, alternatives, rounds, inputs)))
  clear('copy', 'torch')
  rows.push(...(await unfoldRows({ at, clear, ready, job, rounds, threads, torch, family })))
  clear('written', 'family')
  return rows
}

/** The quick alternatives again, with inputs that are not in the page cache. */
async function cold({ job, ours, targets }, alternatives, rounds, inputs) {
  if (!dropFromCache(...inputs)) {
    console.log('cold-cache rows left out: dd cannot drop files from the page cache here')
    return []
  }
  const dropped = Object.entries(alternatives)
    .filter(([, { slow }]) => !slow)
    .map(([name, { before, run }]) => {
      const dropToo = () => {
        before()
        dropFromCache(...inputs)
      }
      return [name, { run, before: dropToo }]
    })
  return rowsOf({ job, ours, targets, cache: 'cold' }, await compare(Object.fromEntries(dropped), rounds))
}

async function unfoldRows({ at, clear, ready, job, rounds, threads, torch, family }) {
  const outputs = ['copy', 'unfolded', 'saved', 'torch-unfolded']
  const ours = 'taskfold (API, no fsync)'
  const pack = await openFamily(at('written'))
  const unfold = () => pack.materialize('t0', at('unfolded'), { threads, sync: false }).then(() => undefined)
  const copy = () => void execFileSync('cp', ['-r', at('written/merged'), at('copy')])
  const alternatives = { [ours]: ready(outputs, unfold), cp: ready(outputs, copy) }
  const equal = {}
  const targets = { cp: '≥ 0.83× (we: ≤ 1.2 times its time)' }
  if (torch !== null) {
    const names = {
      load: 'safetensors in Python: load and save a dense checkpoint',
      apply: 'torch: load merged, put entries in, save',
    }
    const loadSave = () => torch.ask({ run: 'load save', input: at('written/merged'), output: at('saved') })
    const apply = () =>
      torch.ask({ run: 'unfold', family: at('torch'), task: 't0', output: at('torch-unfolded') })
    await torch.ask({ run: 'fold bincount', ...job, output: at('torch') })
    await unfold()
    await apply()
    equal[names.apply] = await equality(torch, at('unfolded'), at('torch-unfolded'), { share: 1e-4, ulps: 1 })
    await torch.ask({ run: 'load save', input: at('unfolded'), output: at('saved') })
    equal[names.load] = `load and save of ours: ${await equality(torch, at('unfolded'), at('saved'))}`
    alternatives[names.load] = ready(outputs, loadSave)
    alternatives[names.apply] = ready(outputs, apply)
  }
  const about = {
    job: `unfold a task of ${(family.modelBytes / 2 ** 30).toFixed(2)} GiB bf16`,
    ours,
    equality: equal,
    targets,
  }
  const rows = rowsOf(about, await compare(alternatives, rounds))
  rows.push(...(await cold(about, alternatives, rounds, [at('written')])))
  pack.close()
  clear(...outputs, 'torch')
  return rows
}
