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
    const found = await torch.ask({ run: 'check_models', a: at('family/merged'), b: at('mergekit') })
    // In f32 it rounds λ(θt − θ0) of each task and we round once, which shows in few entries after rounding to bf16; in bf16
    // it rounds at each step.
    const allowed = way.dtype === 'float32' ? 1e-4 : 0.01
    if (found.relative > allowed || found.missing.length > 0)
      throw new Error(`${name} is ${found.relative} away from ours; missing: ${found.missing}`)
    const share = ((100 * found.differ) / found.elements).toPrecision(2)
    equal[name] = `relative difference ${found.relative.toExponential(1)}; ${share} % of entries differ`
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
