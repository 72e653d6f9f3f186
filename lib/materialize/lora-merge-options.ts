import { TaskfoldError } from '../errors/taskfold-error.js'
import { type AdapterDtype, checkAdapterDtype } from '../lora/lora-resize.js'
import { type OutputOptions, outputOptions } from '../lora/output-options.js'
import { checkRank, type RankOptions, rankRuleOf } from '../lora/rank-options.js'
import type { RankRule } from '../lora/rank-rule.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'

/** An adapter to merge. */
export interface AdapterInput {
  /** What it is called in messages and results; unique. */
  name: string
  /** A PEFT folder, or org/name[@revision] in the local Hugging Face cache. */
  path: string
}

/** What {@link loraMerge} is asked to do. The ways to choose ranks are for `as: 'adapter'`; without one it is exact. */
export interface LoraMergeOptions extends RankOptions, OutputOptions {
  /**
   * The model that all adapters were trained on: a file, a folder, or org/name[@revision] in the local cache. With `family`
   * only needed when the base is no longer where it was.
   */
  base?: string
  /** PEFT adapters; a record of name to path is one too. */
  tasks?: readonly AdapterInput[] | Readonly<Record<string, string>>
  /** A family: merges its LoRA tasks, instead of `tasks`. */
  family?: string
  /** Folder to write. Must not exist, unless `force`. */
  output: string
  /** Scaling coefficient λ. Default 0.3. */
  lambda?: number
  /** 'checkpoint' (default): the whole model. 'adapter': one PEFT adapter of rank Σr, or lower. */
  as?: 'checkpoint' | 'adapter'
  /** Highest rank of any layer. */
  maxRank?: number
  /** As 'adapter': dtype of the factors. Default 'keep'. */
  dtype?: AdapterDtype
}

/** {@link LoraMergeOptions} after all checks. */
export interface MergeSettings extends OutputOptions {
  /** Never undefined without a family. */
  base?: string
  /** At least one, with distinct names; null: those of the family. */
  tasks: AdapterInput[] | null
  family?: string
  output: string
  /** An f32 value. */
  lambda: number
  as: 'checkpoint' | 'adapter'
  /** null: exact. */
  rule: RankRule | null
  maxRank?: number
  dtype: 'keep' | 'F32' | 'F16' | 'BF16'
}

/**
 * Checks every option.
 *
 * @param options - as given by the caller, trusted in nothing
 * @returns them with defaults
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkMergeOptions(options: LoraMergeOptions): MergeSettings {
  const { base, output, as = 'checkpoint', maxRank } = options
  const { family } = options
  const needed = family === undefined ? { base, output } : { family, output }
  for (const [name, path] of Object.entries(needed))
    if (typeof path !== 'string' || path === '') throw wrong(name, 'a path', path)
  if (family !== undefined && options.tasks !== undefined) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'either family or tasks is given, not both', {
      hint: 'a task of a family is an adapter too: give FAMILY/tasks/NAME as its path',
    })
  }
  if (as !== 'checkpoint' && as !== 'adapter') throw wrong('as', 'checkpoint or adapter', as)
  const rule = rankRuleOf(options)
  if (as === 'checkpoint' && (rule !== null || maxRank !== undefined)) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'a merged checkpoint has no rank', {
      hint: 'choose ranks with --as adapter (as: adapter), or resize the adapters first',
    })
  }
  return {
    ...{ base, family, output, as, rule },
    ...outputOptions(options),
    tasks: family === undefined ? checkTasks(options.tasks ?? []) : null,
    lambda: taskArithmetic.check({ lambda: options.lambda }).lambda,
    maxRank: maxRank === undefined ? undefined : checkRank('maxRank', maxRank),
    dtype: checkAdapterDtype(options.dtype),
  }
}

function checkTasks(tasks: NonNullable<LoraMergeOptions['tasks']>): AdapterInput[] {
  const list = Array.isArray(tasks)
    ? tasks
    : Object.entries(tasks ?? {}).map(([name, path]) => ({ name, path }))
  if (list.length === 0) throw wrong('tasks', 'at least one adapter', tasks)
  const names = new Set<string>()
  for (const { name, path } of list as { name: unknown; path: unknown }[]) {
    if (typeof name !== 'string' || name === '') throw wrong('name of a task', 'a name', name)
    if (typeof path !== 'string' || path === '') throw wrong(`path of task ${name}`, 'a path', path)
    if (names.has(name)) throw wrong('tasks', `given once each (${name} is there twice)`, name)
    names.add(name)
  }
  return list
}

function wrong(name: string, expected: string, value: unknown): TaskfoldError {
  return new TaskfoldError('INVALID_ARGUMENT', `${name} must be ${expected}, got ${String(value)}`)
}
