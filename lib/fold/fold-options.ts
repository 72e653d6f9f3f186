import { resolve } from 'node:path'
import type { IndexCode } from '../binding/binding-types.js'
import { checkDevice, type DeviceOptions } from '../binding/device-choice.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { OnProgress } from '../io/progress.js'
import { checkRank, type RankOptions, rankRuleOf } from '../lora/rank-options.js'
import type { RankRule } from '../lora/rank-rule.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import { isTaskName } from '../pack/task-name.js'
import { checkCoding } from './coding-options.js'
import { throwProblems } from './problems.js'
import type { SizeTarget } from './stream-target.js'

/** A fine-tune to fold: its name in the family and where it is. */
export interface TaskInput {
  /** Name of the task in the family; also the name of its folder. Letters, digits, dot, underscore and minus. */
  name: string
  /**
   * A .safetensors file, a folder, or org/name[@revision] in the local Hugging Face cache. A folder of a PEFT adapter is
   * a LoRA task, anything else a full fine-tune.
   */
  path: string
}

/**
 * What {@link fold} and {@link planFold} are asked to do. The ways to choose ranks are for LoRA tasks; without one, their
 * adapters are taken over as they are. What full fine-tunes take is computed on `device`, with the same bytes on each; the
 * ranks of LoRA tasks are cut on the CPU.
 */
export interface FoldOptions extends RankOptions, DeviceOptions {
  /** The model that all tasks were fine-tuned from: a file, a folder, or org/name[@revision] in the local cache. */
  base: string
  /** The fine-tunes, in the order in which their task vectors are added; a record of name to path is one too. */
  tasks: readonly TaskInput[] | Readonly<Record<string, string>>
  /** Folder to write the family to. Must not exist, unless `force`. */
  output: string
  /** Scaling coefficient λ of the merge, rounded to f32; 'average' is 1 ÷ number of full fine-tunes. Default 0.3. */
  lambda?: number | 'average'
  /**
   * How the remainder of a full fine-tune is coded. 'exact' (default): its own bits at the kept entries. 'step': every entry
   * quantised with one step for the model, as large as the target allows. 'sign', 'int4': kept entries as signs, or as 4 bits.
   */
  codec?: 'exact' | 'step' | 'sign' | 'int4'
  /** Codec step: bits per merged parameter that a task's remainder may take. Default 0.5. */
  targetBits?: number
  /** Codec step, instead: a share of the merged tensors' bytes ('3%', 0.03), or bytes when above 1. */
  targetSize?: number
  /** Codec step: where the first level begins, in steps; 0.5 is plain rounding. Default 0.65. */
  deadZone?: number
  /** Share m of the entries that each task keeps, 0 to 1. Default 0.1. Not with codec step. */
  density?: number
  /** 'global' (default): one threshold for a task's whole model. 'tensor': each tensor keeps its own share. */
  scope?: 'global' | 'tensor'
  /** Storage dtype of merged tensors. 'keep' (default): the base's. */
  dtype?: 'keep' | 'f32' | 'f16' | 'bf16'
  /** Tables that grew: 'whole' (default) keeps them per task, 'prefix' folds the common rows. */
  rows?: 'whole' | 'prefix'
  /** NaN in an input: 'error' (default) stops with its place, 'keep' ranks it above infinity. */
  nonFinite?: 'error' | 'keep'
  /** Index code: 'auto' (default) takes the smallest for each tensor, 'u16' is the fastest to decode. */
  index?: Exclude<IndexCode, 'all'> | 'auto'
  /** Kept values: 'plain', entropy-coded, or 'auto' (default): coded where that saves more than 10 %. */
  values?: 'auto' | 'plain' | 'coded'
  /** Highest rank of any layer of a LoRA task, beside the way to choose ranks. */
  maxRank?: number
  /** LoRA tasks: store the base in the family too. Default false: the family only says where it is. */
  copyBase?: boolean
  /** Threads at most. Default: the machine's. The bytes written do not depend on it. */
  threads?: number
  /** Replace an existing output. Default false. */
  force?: boolean
  /** Hugging Face cache to look up org/name in. Default: as huggingface_hub finds it. */
  cacheDir?: string
  /** Wait until the disk has everything. Default true; false leaves that to the system, as cp does. */
  sync?: boolean
  /** Stops the fold within a second; nothing half-written stays. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
}

/** {@link FoldOptions} after all checks, with defaults filled in. */
export interface FoldSettings {
  /** As {@link FoldOptions.base}. */
  base: string
  /** At least one, with distinct names. */
  tasks: readonly TaskInput[]
  /** Absolute. */
  output: string
  /** An f32 value. */
  lambda: number
  /** As {@link FoldOptions.codec}. */
  codec: 'exact' | 'step' | 'sign' | 'int4'
  /** What a remainder may take; null: no target. */
  target: SizeTarget | null
  /** As {@link FoldOptions.deadZone}. */
  deadZone: number
  /** m, 0 to 1. */
  density: number
  /** As {@link FoldOptions.scope}. */
  scope: 'global' | 'tensor'
  /** By its safetensors name. */
  dtype: 'keep' | 'F32' | 'F16' | 'BF16'
  /** As {@link FoldOptions.rows}. */
  rows: 'whole' | 'prefix'
  /** As {@link FoldOptions.nonFinite}. */
  nonFinite: 'error' | 'keep'
  /** As {@link FoldOptions.index}. */
  index: Exclude<IndexCode, 'all'> | 'auto'
  /** As {@link FoldOptions.values}. */
  values: 'auto' | 'plain' | 'coded'
  /** How ranks of LoRA tasks are chosen; null: as they are. */
  rankRule: RankRule | null
  /** As {@link FoldOptions.maxRank}. */
  maxRank?: number
  /** As {@link FoldOptions.copyBase}. */
  copyBase: boolean
  /** As {@link FoldOptions.threads}. */
  threads?: number
  /** As {@link FoldOptions.force}. */
  force: boolean
  /** As {@link FoldOptions.cacheDir}. */
  cacheDir?: string
}

/** More threads than any machine has; a typo, not a wish. */
const MAX_THREADS = 4096

/**
 * Checks every option at once.
 *
 * @param options - as given by the caller, trusted in nothing
 * @returns the options with defaults, λ rounded to f32, the output made absolute
 * @throws TaskfoldError INVALID_ARGUMENT, or PREFLIGHT_FAILED with one INVALID_ARGUMENT for each bad option
 */
export function checkFoldOptions(options: FoldOptions): FoldSettings {
  const problems: TaskfoldError[] = []
  const given = (typeof options === 'object' && options !== null ? options : {}) as FoldOptions
  const bad = (message: string, hint?: string) =>
    problems.push(new TaskfoldError('INVALID_ARGUMENT', message, { hint }))
  const choice = <T extends string>(name: string, value: unknown, allowed: readonly T[]): T => {
    if (value === undefined) return allowed[0]!
    if (typeof value === 'string' && (allowed as readonly string[]).includes(value)) return value as T
    bad(`${name} must be ${allowed.join(', ')}, got ${show(value)}`)
    return allowed[0]!
  }
  const path = (name: string, value: unknown): string => {
    if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value
    bad(`${name} must be a non-empty path, got ${show(value)}`)
    return '.'
  }

  const density = given.density ?? 0.1
  if (typeof density !== 'number' || !(density >= 0 && density <= 1)) {
    bad(`density must be a number from 0 to 1, got ${show(density)}`, 'use 0.1 for 10 %')
  }
  const { threads } = given
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads >= 1 && threads <= MAX_THREADS)) {
    bad(`threads must be a whole number from 1 to ${MAX_THREADS}, got ${show(threads)}`)
  }
  for (const name of ['force', 'copyBase'] as const) {
    const value: unknown = given[name]
    if (value !== undefined && typeof value !== 'boolean')
      bad(`${name} must be a boolean, got ${show(value)}`)
  }
  const attempt = <T>(check: () => T, otherwise: T): T => {
    try {
      return check()
    } catch (error) {
      problems.push(error as TaskfoldError)
      return otherwise
    }
  }
  const tasks = checkTasks(given.tasks, bad)
  const wanted = given.lambda === 'average' ? 1 / Math.max(1, tasks.length) : given.lambda
  const { lambda } = attempt(() => taskArithmetic.check({ lambda: wanted }), { lambda: 0 })
  const coding = checkCoding(given, bad)
  const rankRule = attempt(() => rankRuleOf(given), null)
  const maxRank = attempt(
    () => (given.maxRank === undefined ? undefined : checkRank('maxRank', given.maxRank)),
    undefined,
  )
  if (maxRank !== undefined && rankRule === null)
    bad('maxRank needs a way to choose ranks', 'give rank or energy too')
  attempt(() => checkDevice(given), null)
  const dtype = choice('dtype', given.dtype, ['keep', 'f32', 'f16', 'bf16'])
  const settings: FoldSettings = {
    base: path('base', given.base),
    tasks,
    output: resolve(path('output', given.output)),
    lambda,
    density,
    ...coding,
    scope: choice('scope', given.scope, ['global', 'tensor']),
    dtype: dtype === 'keep' ? dtype : (dtype.toUpperCase() as 'F32' | 'F16' | 'BF16'),
    rows: choice('rows', given.rows, ['whole', 'prefix']),
    nonFinite: choice('nonFinite', given.nonFinite, ['error', 'keep']),
    index: choice('index', given.index, ['auto', 'u16', 'bitmap', 'rice']),
    values: choice('values', given.values, ['auto', 'plain', 'coded']),
    rankRule,
    maxRank,
    copyBase: given.copyBase ?? false,
    threads,
    force: given.force ?? false,
    cacheDir: given.cacheDir === undefined ? undefined : path('cacheDir', given.cacheDir),
  }
  throwProblems(problems)
  return settings
}

function checkTasks(tasks: unknown, bad: (message: string, hint?: string) => void): TaskInput[] {
  const list: unknown[] = Array.isArray(tasks)
    ? tasks
    : typeof tasks === 'object' && tasks !== null
      ? Object.entries(tasks).map(([name, path]) => ({ name, path }))
      : []
  if (list.length === 0)
    bad('at least one task is needed', 'give --task NAME=PATH, or tasks: [{ name, path }]')
  // Compared without case: two folders that differ only in case are one on macOS.
  const seen = new Map<string, string>()
  return list.map((entry, place) => {
    const { name, path } = (typeof entry === 'object' && entry !== null ? entry : {}) as Partial<TaskInput>
    if (!isTaskName(name)) {
      bad(
        `task name ${show(name)} (task ${place + 1}) is not usable as a folder name`,
        "use 1 to 64 letters, digits, '.', '_' or '-', without a dot at either end or two in a row",
      )
    } else {
      const other = seen.get(name.toLowerCase())
      if (other === name) bad(`task name ${show(name)} is given twice`, 'give every task its own name')
      else if (other !== undefined) bad(`task names ${show(other)} and ${show(name)} differ only in case`)
      seen.set(name.toLowerCase(), name)
    }
    if (typeof path !== 'string' || path === '' || path.includes('\0')) {
      bad(`path of task ${show(name)} must be a non-empty string, got ${show(path)}`)
    }
    return { name: String(name), path: String(path) }
  })
}

function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}
