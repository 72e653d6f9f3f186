import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import type { TaskfoldError } from '../errors/taskfold-error.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import { isAdapterFolder } from '../lora/is-adapter-folder.js'
import { type OpenAdapterOptions, openAdapter } from '../lora/open-adapter.js'
import { openPack } from '../pack/open-pack.js'
import { MANIFEST_FILE } from '../pack/pack-format.js'
import { inspectAdapter } from './inspect-adapter.js'
import { inspectCheckpoint } from './inspect-checkpoint.js'
import { inspectFamily } from './inspect-family.js'
import type { Inspection } from './inspection-types.js'

/** A factor in any of the formats of adapters. */
const FACTOR = /\.lora(_down|_up|\.down|\.up|_[AB]|_embedding_[AB])(\.|$)/

/** Options of {@link inspect}. */
export interface InspectOptions {
  /** List every tensor too. Default false. */
  tensors?: boolean
  /** Hugging Face cache to look up org/name in. Default: as huggingface_hub finds it. */
  cacheDir?: string
  /** Adapters: compute the singular values of every layer, which reads the factors. Default false. */
  spectra?: boolean
  /** Threads at most, for `spectra`. Default: the machine's. */
  threads?: number
  /** Stops between two files. */
  signal?: AbortSignal
}

/**
 * Describes a family, a checkpoint or a LoRA adapter from headers alone; without `spectra` it reads no tensor and needs
 * no native code.
 *
 * @param path - folder of a family; a PEFT folder or a file of kohya's scripts; or a checkpoint as readCheckpoint takes it
 * @param options - whether to list tensors
 * @returns plain data that JSON can hold
 * @throws TaskfoldError the codes of openPack, openAdapter or readCheckpoint
 */
export async function inspect(path: string, options: InspectOptions = {}): Promise<Inspection> {
  const { cacheDir, signal } = options
  if (await isFile(join(path, MANIFEST_FILE))) {
    return inspectFamily(await openPack(path, { signal }), options.tensors ?? false)
  }
  if (await isAdapterFolder(path, { cacheDir })) {
    return inspectAdapter(await openAdapter(path, { cacheDir, signal }), options)
  }
  const checkpoint = await readCheckpoint(path, { cacheDir, signal })
  const adapter = hasFactors(checkpoint) ? await openIfKnown(path, { cacheDir, signal }) : null
  if (adapter !== null) return inspectAdapter(adapter, options)
  return inspectCheckpoint(checkpoint, options.tensors ?? false)
}

/** Names that only factors have: adapter_model.safetensors itself, kohya's and LyCORIS' files. */
function hasFactors({ tensors, sharded }: Checkpoint): boolean {
  return !sharded && [...tensors.keys()].some((name) => FACTOR.test(name))
}

/** A variant that is not supported can still be looked at as what it is: a file of tensors. */
async function openIfKnown(path: string, options: OpenAdapterOptions): Promise<LoraAdapter | null> {
  try {
    return await openAdapter(path, options)
  } catch (error) {
    const { code } = error as TaskfoldError
    if (code === 'ADAPTER_INVALID' || code === 'ADAPTER_UNSUPPORTED') return null
    throw error
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}
