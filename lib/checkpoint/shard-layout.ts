import { join } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { writeFileAtomic } from '../io/write-file-atomic.js'
import { SINGLE_FILE } from './find-weights.js'
import { INDEX_FILE } from './shard-index.js'

/** What the usual tools take: files that hosts and file systems accept, few enough to handle. */
export const DEFAULT_SHARD_BYTES = 5e9
/** Five digits. */
const MAX_SHARDS = 99_999

/**
 * Name of a shard as the Hugging Face tools write it.
 *
 * @param i - its number, counted from 1
 * @param n - how many there are
 * @returns `model-00001-of-00003.safetensors`; `model.safetensors` when n is 1
 * @throws TaskfoldError INVALID_ARGUMENT when there is no such shard
 */
export function shardName(i: number, n: number): string {
  if (!Number.isInteger(i) || !Number.isInteger(n) || i < 1 || i > n || n > MAX_SHARDS) {
    throw new TaskfoldError('INVALID_ARGUMENT', `there is no shard ${i} of ${n}`, {
      hint: 'Choose larger shards: a checkpoint may have 99 999.',
    })
  }
  if (n === 1) return SINGLE_FILE
  const digits = (value: number) => String(value).padStart(5, '0')
  return `model-${digits(i)}-of-${digits(n)}.safetensors`
}

/**
 * Divides tensors into shards in the given order: a shard is full when the next tensor does not fit. A tensor above
 * the limit gets a shard of its own.
 *
 * @param tensors - tensors with their lengths in bytes
 * @param maxShardBytes - most bytes of tensors in a shard
 * @returns one list per shard; a single empty one when there are no tensors
 */
export function divideIntoShards<T extends { readonly length: number }>(
  tensors: readonly T[],
  maxShardBytes: number,
): T[][] {
  const shards: T[][] = [[]]
  let filled = 0
  for (const tensor of tensors) {
    if (filled + tensor.length > maxShardBytes && shards.at(-1)!.length > 0) {
      shards.push([])
      filled = 0
    }
    shards.at(-1)!.push(tensor)
    filled += tensor.length
  }
  return shards
}

/**
 * Writes model.safetensors.index.json.
 *
 * @param folder - the checkpoint's folder
 * @param weightMap - shard name of each tensor, in the order to be written
 * @param totalBytes - bytes of all tensors
 * @throws TaskfoldError DISK_FULL, IO_ERROR
 */
export async function writeShardIndex(
  folder: string,
  weightMap: ReadonlyMap<string, string> | Readonly<Record<string, string>>,
  totalBytes: number,
): Promise<void> {
  const members = weightMap instanceof Map ? [...weightMap] : Object.entries(weightMap)
  // Written by hand because an object would put names such as "0" first and would lose "__proto__".
  const lines = members.map(([tensor, shard]) => `    ${JSON.stringify(tensor)}: ${JSON.stringify(shard)}`)
  const map = lines.length > 0 ? `{\n${lines.join(',\n')}\n  }` : '{}'
  const json = `{\n  "metadata": {\n    "total_size": ${totalBytes}\n  },\n  "weight_map": ${map}\n}\n`
  await writeFileAtomic(join(folder, INDEX_FILE), json)
}
