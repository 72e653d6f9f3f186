import { checkDevice, type DeviceOptions } from '../binding/device-choice.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { ExtractChoice } from './extract-plan.js'
import { type AdapterDtype, checkAdapterDtype } from './lora-resize.js'
import { type OutputOptions, outputOptions } from './output-options.js'
import { checkRank } from './rank-options.js'

/** A pattern, or several; a string is a regular expression. */
export type Patterns = string | RegExp | readonly (string | RegExp)[]

/** What {@link loraExtract} is asked to do; either rank or energy is given. On a GPU the last bits differ from the CPU's. */
export interface LoraExtractOptions extends OutputOptions, DeviceOptions {
  /** θ0: a file, a folder, or org/name[@revision] in the local cache. */
  base: string
  /** θt. */
  finetuned: string
  /** Folder to write. Must not exist, unless `force`. */
  output: string
  /** One rank for every layer. */
  rank?: number
  /** Smallest ranks that keep this share of every matrix's squared Frobenius norm. */
  energy?: number
  /** Highest rank that `energy` may choose. Default 256. */
  maxRank?: number
  /** Only modules whose name one of these matches; embeddings, heads and convolutions among them too. */
  include?: Patterns
  /** No modules whose name one of these matches. */
  exclude?: Patterns
  /** Embedding tables too. Default false. */
  embeddings?: boolean
  /** Output heads too. Default false. */
  heads?: boolean
  /** Convolutions too. Default false. */
  conv?: boolean
  /** Modules to store whole (modules_to_save). Those that the base lacks are stored whole in any case. */
  save?: Patterns
  /** Extra columns of the sketch. Default 8. */
  oversample?: number
  /** Power iterations. Default 2. */
  powerIters?: number
  /** Seed of the sketch: the same one gives the same adapter. Default 0. */
  seed?: number
  /** Dtype of the factors. Default 'keep': the fine-tune's. */
  dtype?: AdapterDtype
}

/** {@link LoraExtractOptions} after all checks. */
export interface ExtractSettings extends OutputOptions {
  base: string
  finetuned: string
  output: string
  /** Most components of a layer. */
  rank: number
  /** Share of energy that chooses fewer; null: the rank is the same everywhere. */
  energy: number | null
  choice: ExtractChoice
  oversample: number
  powerIters: number
  seed: number
  dtype: 'keep' | 'F32' | 'F16' | 'BF16'
}

/** What vLLM can serve at most is 512, and an adapter near that is hardly smaller than the fine-tune. */
const DEFAULT_MAX_RANK = 256

/**
 * Checks every option.
 *
 * @param options - as given by the caller, trusted in nothing
 * @returns them with defaults
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkExtractOptions(options: LoraExtractOptions): ExtractSettings {
  const { rank, energy } = options
  checkDevice(options)
  for (const name of ['base', 'finetuned', 'output'] as const) {
    if (typeof options[name] !== 'string' || options[name] === '') throw wrong(name, 'a path', options[name])
  }
  if ((rank === undefined) === (energy === undefined)) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'give either rank or energy', {
      hint: 'for instance rank: 32, or energy: 0.9 for nine tenths of the squared norm',
    })
  }
  if (energy !== undefined && !(typeof energy === 'number' && energy > 0 && energy <= 1))
    throw wrong('energy', 'a share above 0 and at most 1', energy)
  const maxRank = options.maxRank === undefined ? DEFAULT_MAX_RANK : checkRank('maxRank', options.maxRank)
  const wanted = rank === undefined ? maxRank : checkRank('rank', rank)
  return {
    base: options.base,
    finetuned: options.finetuned,
    output: options.output,
    rank: options.maxRank === undefined ? wanted : Math.min(wanted, maxRank),
    energy: energy ?? null,
    choice: {
      include: patterns('include', options.include),
      exclude: patterns('exclude', options.exclude),
      embeddings: options.embeddings,
      heads: options.heads,
      conv: options.conv,
      save: patterns('save', options.save),
    },
    oversample: count('oversample', options.oversample ?? 8, 4096),
    powerIters: count('powerIters', options.powerIters ?? 2, 100),
    seed: count('seed', options.seed ?? 0, Number.MAX_SAFE_INTEGER),
    dtype: checkAdapterDtype(options.dtype),
    ...outputOptions(options),
  }
}

function patterns(name: string, given: Patterns | undefined): RegExp[] | undefined {
  if (given === undefined) return undefined
  const list = Array.isArray(given) ? given : [given]
  return list.map((pattern) => {
    try {
      return new RegExp(pattern)
    } catch (cause) {
      throw new TaskfoldError('INVALID_ARGUMENT', `${name}: ${(cause as Error).message}`, {
        hint: 'give a regular expression of JavaScript',
        cause,
      })
    }
  })
}

function count(name: string, value: unknown, most: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most)
    return value as number
  throw wrong(name, `a whole number from 0 to ${most}`, value)
}

function wrong(name: string, expected: string, value: unknown): TaskfoldError {
  return new TaskfoldError('INVALID_ARGUMENT', `${name} must be ${expected}, got ${String(value)}`)
}
