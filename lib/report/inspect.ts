import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { openPack } from '../pack/open-pack.js'
import { MANIFEST_FILE } from '../pack/pack-format.js'
import { inspectCheckpoint } from './inspect-checkpoint.js'
import { inspectFamily } from './inspect-family.js'
import type { Inspection } from './inspection-types.js'

/** Options of {@link inspect}. */
export interface InspectOptions {
  /** List every tensor too. Default false. */
  tensors?: boolean
  /** Hugging Face cache to look up org/name in. Default: as huggingface_hub finds it. */
  cacheDir?: string
  /** Stops between two files. */
  signal?: AbortSignal
}

/**
 * Describes a family or a checkpoint from headers alone; reads no tensor and needs no native code.
 *
 * @param path - folder of a family; or a checkpoint as readCheckpoint takes it
 * @param options - whether to list tensors
 * @returns plain data that JSON can hold
 * @throws TaskfoldError the codes of openPack or readCheckpoint
 */
export async function inspect(path: string, options: InspectOptions = {}): Promise<Inspection> {
  const { cacheDir, signal } = options
  if (await isFile(join(path, MANIFEST_FILE))) {
    return inspectFamily(await openPack(path, { signal }), options.tensors ?? false)
  }
  return inspectCheckpoint(await readCheckpoint(path, { cacheDir, signal }), options.tensors ?? false)
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}
