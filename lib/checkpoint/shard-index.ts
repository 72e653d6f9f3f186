import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { readSmallFile } from '../io/read-small-file.js'
import { JsonCursor, JsonSyntaxError } from './json-cursor.js'
import { nameProblem } from './names.js'

/** Name of the index in a sharded checkpoint. */
export const INDEX_FILE = 'model.safetensors.index.json'
/** Twice the largest index known (500 000 tensors, 60 MB); a larger one would cost gigabytes of memory to check. */
const MAX_INDEX_BYTES = 128 * 1024 * 1024
/** Longest file name that common file systems accept, in characters. */
const MAX_NAME_CHARACTERS = 255

/**
 * Reads the index of a sharded checkpoint. Only weight_map counts: total_size is a hint that writers often get wrong.
 *
 * @param path - path of the index
 * @param signal - stops the reading
 * @returns shard name of each tensor
 * @throws TaskfoldError INDEX_INVALID, IO_ERROR, CANCELLED
 */
export async function readShardIndex(path: string, signal?: AbortSignal): Promise<Map<string, string>> {
  const bytes = await readSmallFile(path, {
    maxBytes: MAX_INDEX_BYTES,
    signal,
    tooLarge: (size) => invalid(path, `it has ${size} bytes, above the limit of ${MAX_INDEX_BYTES}`),
  })
  try {
    return parseIndex(new JsonCursor(bytes), path)
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw invalid(path, `it is not JSON: ${error.message}`)
    throw error
  }
}

function parseIndex(cursor: JsonCursor, path: string): Map<string, string> {
  let weightMap: Map<string, string> | undefined
  if (cursor.kind() !== 'object') throw invalid(path, 'it is not an object')
  for (let key = cursor.firstKey(); key !== null; key = cursor.nextKey()) {
    if (key !== 'weight_map') {
      cursor.skip()
      continue
    }
    if (weightMap) throw invalid(path, 'weight_map appears twice')
    weightMap = parseWeightMap(cursor, path)
  }
  cursor.end()
  if (!weightMap) throw invalid(path, 'it has no weight_map')
  return weightMap
}

function parseWeightMap(cursor: JsonCursor, path: string): Map<string, string> {
  if (cursor.kind() !== 'object') throw invalid(path, 'weight_map is not an object')
  const weightMap = new Map<string, string>()
  // One string per shard instead of one per tensor.
  const shards = new Map<string, string>()
  for (let tensor = cursor.firstKey(); tensor !== null; tensor = cursor.nextKey()) {
    const problem = nameProblem(tensor)
    if (problem !== null) throw invalid(path, `the tensor name ${quoteName(tensor)} ${problem}`, tensor)
    if (weightMap.has(tensor)) throw invalid(path, `tensor ${quoteName(tensor)} appears twice`, tensor)
    if (cursor.kind() !== 'string') {
      throw invalid(path, `the shard of tensor ${quoteName(tensor)} is not a string`, tensor)
    }
    const shard = cursor.string()
    let known = shards.get(shard)
    if (known === undefined) {
      if (!isShardName(shard)) {
        throw invalid(
          path,
          `tensor ${quoteName(tensor)} is said to lie in ${quoteName(shard)}, not a shard's name`,
          tensor,
        )
      }
      known = shard
      shards.set(shard, shard)
    }
    weightMap.set(tensor, known)
  }
  return weightMap
}

/** Shards lie beside their index: a path in a name would reach files that the caller never named. */
function isShardName(name: string): boolean {
  return (
    name.length <= MAX_NAME_CHARACTERS &&
    /\.safetensors$/i.test(name) &&
    !name.startsWith('.') &&
    !/[/\\:\p{Cc}]/u.test(name)
  )
}

function invalid(path: string, reason: string, tensor?: string): TaskfoldError {
  return new TaskfoldError('INDEX_INVALID', `${path}: ${reason}`, {
    file: path,
    tensor,
    hint: 'Fetch the index again, or write the checkpoint again.',
  })
}
