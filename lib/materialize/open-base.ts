import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { byteBatches } from '../io/byte-batches.js'
import { parseBaseReference } from '../pack/base-reference.js'
import { combineFingerprints } from '../pack/fingerprint-tree.js'
import type { Pack } from '../pack/pack-types.js'

/** Where a family's base is looked for. */
export interface BaseOptions {
  /** Where the base is now, if not where it was: a file, a folder, or org/name[@revision] in the local cache. */
  base?: string
  /** Hugging Face cache to look up org/name in. Default: as huggingface_hub finds it. */
  cacheDir?: string
}

/** One native call: large enough to keep all threads busy. */
const BATCH_BYTES = 512 * 1024 * 1024
const BATCH_TENSORS = 1024

/**
 * Opens the base that LoRA tasks are laid over: where the caller says, else base/ of the family, else where it was when
 * the family was folded. Headers only; {@link assertBase} tells whether it is the right one.
 *
 * @param pack - the open family
 * @param options - where to look
 * @param signal - stops between two files
 * @returns the base
 * @throws TaskfoldError NOT_FOUND when it is no longer there, or a code of readCheckpoint
 */
export async function openBase(pack: Pack, options: BaseOptions, signal?: AbortSignal): Promise<Checkpoint> {
  const { cacheDir } = options
  if (options.base !== undefined) return readCheckpoint(options.base, { cacheDir, signal })
  if (pack.base !== null) return pack.base
  const { reference } = pack.manifest.base
  const parsed = parseBaseReference(reference)
  if (parsed === null) throw missing(pack, 'the family does not say where')
  try {
    const source = parsed.kind === 'hub' ? parsed.source : join(await realpath(pack.folder), parsed.path)
    return await readCheckpoint(source, { cacheDir, signal })
  } catch (error) {
    const known = toTaskfoldError(error, { file: pack.folder })
    if (known.code !== 'NOT_FOUND' && known.code !== 'NOT_A_CHECKPOINT') throw known
    throw missing(pack, `it was at ${reference}: ${known.message}`, known)
  }
}

function missing({ folder, manifest }: Pack, why: string, cause?: TaskfoldError): TaskfoldError {
  const { name } = manifest.base
  return new TaskfoldError('NOT_FOUND', `${folder}: its base ${name} is not there (${why})`, {
    file: cause?.file ?? folder,
    hint: `say where the base is now: --base PATH (option base); it must be the ${name} that was folded`,
    cause,
  })
}

/**
 * Fingerprints tensors of a base.
 *
 * @param tensors - which
 * @param options - open files to use, threads, signal, and whom to tell about bytes
 * @returns fingerprints by name
 * @throws TaskfoldError FILE_TRUNCATED, IO_ERROR, CANCELLED
 */
export async function fingerprintTensors(
  tensors: Iterable<TensorInfo>,
  options: { files: NativeFiles; threads?: number; signal?: AbortSignal; onBytes?: (bytes: number) => void },
): Promise<Map<string, string>> {
  const { files, threads, signal, onBytes } = options
  const found = new Map<string, string>()
  const limits = { bytes: BATCH_BYTES, items: BATCH_TENSORS, sizeOf: ({ length }: TensorInfo) => length }
  for (const batch of byteBatches(tensors, limits)) {
    const regions = batch.map((tensor) => files.region(tensor))
    const call = { signal, threads, context: { file: batch[0]!.file } }
    const fingerprints = await callNative(
      (control) => native().fingerprintRegions({ regions }, control),
      call,
    )
    for (const [i, { name }] of batch.entries()) found.set(name, fingerprints[i]!)
    onBytes?.(batch.reduce((sum, { length }) => sum + length, 0))
  }
  return found
}

/**
 * Refuses a base that is not the one that was folded: factors over other weights would be wrong in silence.
 *
 * @param pack - the family
 * @param base - the opened base
 * @param fingerprints - of all its tensors, by name
 * @throws TaskfoldError HASH_MISMATCH
 */
export async function assertBase(
  pack: Pack,
  base: Checkpoint,
  fingerprints: ReadonlyMap<string, string>,
): Promise<void> {
  const tensors = [...base.tensors.values()].map(({ name, dtype, shape }) => {
    return { name, dtype, shape, fingerprint: fingerprints.get(name) ?? '' }
  })
  if ((await combineFingerprints(tensors)) === pack.manifest.base.fingerprint) return
  throw new TaskfoldError(
    'HASH_MISMATCH',
    `${base.source}: its tensors are not those of ${pack.manifest.base.name} that the family was folded with`,
    {
      file: base.folder,
      hint:
        base === pack.base
          ? 'fetch or fold the family again: its copy of the base was changed'
          : 'LoRA tasks fit that one base only: give it with --base PATH (option base), or fold again with this one',
    },
  )
}
