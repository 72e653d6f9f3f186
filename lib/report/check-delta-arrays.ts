import type { FileHandle } from 'node:fs/promises'
import { readRange } from '../io/read-range.js'
import { invalid } from '../pack/json-fields.js'
import type { FileRange, PackTensor } from '../pack/pack-types.js'
import { ARRAY_SUFFIXES, blockCount, offsetBytes, storedArrays } from '../pack/stored-arrays.js'

/** What the arrays of one delta are read with. */
interface ArrayReader {
  tensor: PackTensor & { kind: 'delta' | 'rows' }
  /** Bytes of an array from `from` on, `length` of them or to its end. */
  read(range: FileRange, from: number, length?: number): Promise<Uint8Array>
}

/** The longest table: a count and 256 frequencies of two bytes. */
const TABLE_BYTES = 514

/**
 * Checks what decoding a delta does not look at: that every array is as long as its entries need, and that all padding
 * is zero.
 *
 * @param tensor - of kind delta or rows, with arrays
 * @param handle - its delta file, open
 * @param task - for errors
 * @throws TaskfoldError PACK_INVALID, FILE_TRUNCATED, IO_ERROR
 */
export async function checkDeltaArrays(tensor: PackTensor, handle: FileHandle, task: string): Promise<void> {
  if ((tensor.kind !== 'delta' && tensor.kind !== 'rows') || tensor.arrays === null) return
  const { arrays, deltaElements: elements, kept, index, values = 'plain', dtype, name } = tensor
  const at = { file: tensor.describedIn, task, tensor: name }
  const shapes = storedArrays({ dtype, elements, kept, index, values })
  const reader: ArrayReader = {
    tensor,
    read: (range, from, length = range.length - from) =>
      readRange(handle, range.offset + from, length, { file: range.file, tensor: name }),
  }
  for (const suffix of ARRAY_SUFFIXES) {
    const [shape, range] = [shapes[suffix], arrays[suffix]]
    if (shape === undefined || range === null) continue
    const used =
      shape.used === null ? await streamsEnd(reader, range, suffix === 'value') : shape.used * shape.itemBytes
    if (used > range.length || range.length - used >= 8) {
      throw invalid(at, `.${suffix} has ${range.length} bytes, but its offsets say ${used}`)
    }
    const padding = await reader.read(range, used)
    if (padding.some((byte) => byte !== 0)) throw invalid(at, `the padding of .${suffix} is not zero`)
  }
}

/** Where the last stream of an entropy code ends: behind the offsets, and of values a table. */
async function streamsEnd(reader: ArrayReader, range: FileRange, hasTable: boolean): Promise<number> {
  const { deltaElements: elements } = reader.tensor
  const front = offsetBytes(elements)
  const width = front / (blockCount(elements) + 1)
  const last = Buffer.from(await reader.read(range, front - width, width))
  const streams = width === 4 ? last.readUInt32LE() : Number(last.readBigUInt64LE())
  if (!hasTable) return front + streams
  const table = await reader.read(range, front, Math.min(TABLE_BYTES, range.length - front))
  return front + tableBytes(table) + streams
}

/** Length of a table: a count and as many numbers, each of which ends with a byte below 128. */
function tableBytes(bytes: Uint8Array): number {
  const [low = 0, high = 0] = bytes
  let numbers = 1 + (low < 128 ? low : (low & 127) + 128 * high)
  let length = 0
  while (numbers > 0 && length < bytes.length) if (bytes[length++]! < 128) numbers--
  return length
}
