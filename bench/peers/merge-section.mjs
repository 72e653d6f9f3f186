// The merge alone, files to files, against mergekit.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import path from 'node:path'
import { fold } from '../../dist/index.mjs'
import { compare, rowsOf } from './compare.mjs'
import { equality } from './files-section.mjs'

/** @returns rows of task arithmetic, and of mergekit's ties, which taskfold does not have */
export async function mergeSection({ work, family, rounds, threads, torch, mergekit }) {
  const at = (name) => path.join(work, name)
  const outputs = ['family', 'mergekit', 'torch']
  const before = () => {
    for (const name of outputs) rmSync(at(name), { recursive: true, force: true })
    execFileSync('sync')
  }
  const tasks = family.tasks.map((folder, i) => ({ name: `t${i}`, path: folder }))
  const ours = 'taskfold fold at density 0 (API, no fsync)'
  const run = () =>
    fold({
      base: family.base,
      tasks,
      output: at('family'),
      density: 0,
      threads,
      sync: false,
      force: true,
    }).then(() => undefined)
  const inputs = { base: family.base, tasks: family.tasks }
  const equal = {}
  const targets = {}
  const alternatives = { [ours]: { before, run } }
  const ways = [
    ['mergekit task_arithmetic, f32 arithmetic', { method: 'task_arithmetic', dtype: 'float32' }],
    ['mergekit task_arithmetic, bf16 arithmetic', { method: 'task_arithmetic', dtype: 'bfloat16' }],
    [
      'mergekit ties (another method: not comparable yet)',
      { method: 'ties', dtype: 'float32', density: 0.1 },
    ],
  ]
  for (const [name, way] of mergekit === null ? [] : ways) {
    const merge = () => mergekit.ask({ ...inputs, ...way, output: at('mergekit') })
    alternatives[name] = { before, run: merge }
    if (way.method !== 'task_arithmetic') continue
    targets[name] = '≥ 8×'
    before()
    await run()
    const { missing } = await merge()
    if (missing !== undefined || torch === null) continue
    if (way.dtype === 'float32') {
      // It rounds λ(θt − θ0) of each task, we round once: a last bit can differ.
      equal[name] = await equality(torch, at('family/merged'), at('mergekit'), { share: 0.01, ulps: 1 })
    } else {
      const { relative } = await torch.ask({ run: 'check_models', a: at('family/merged'), b: at('mergekit') })
      if (relative > 0.01) throw new Error(`${name} is ${relative} away from ours`)
      equal[name] = `relative difference ${relative.toExponential(1)} (it rounds to bf16 at each step)`
    }
  }
  if (torch !== null) {
    const name = 'torch, tensor by tensor'
    const merge = () => torch.ask({ run: 'merge', ...inputs, output: at('torch') })
    before()
    await run()
    await merge()
    equal[name] = await equality(torch, at('family/merged'), at('torch/merged'), { share: 1e-4, ulps: 1 })
    alternatives[name] = { before, run: merge }
  }
  const job = `merge ${(family.modelBytes / 2 ** 30).toFixed(2)} GiB bf16, ${tasks.length} tasks`
  const rows = rowsOf({ job, ours, equality: equal, targets }, await compare(alternatives, rounds))
  before()
  return rows
}
