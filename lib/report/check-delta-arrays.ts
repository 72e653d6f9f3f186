import type { FileHandle } from 'node:fs/promises'
import { readRange } from '../io/read-range.js'
import { invalid } from '../pack/json-fields.js'
import { BLOCK_ELEMENTS } from '../pack/pack-format.js'
import type { FileRange, PackTensor } from '../pack/pack-types.js'
import { blockCount, storedArrays } from '../pack/stored-arrays.js'

/**
 * Checks what of a delta can be checked without its values: the block starts, and that all padding is zero.
 *
 * @param tensor - of kind delta or rows, with arrays
 * @param handle - its delta file, open
 * @param task - for errors
 * @returns the first entry of every block, and behind the last block the number of entries
 * @throws TaskfoldError PACK_INVALID, FILE_TRUNCATED, IO_ERROR
 */
export async function checkDeltaArrays(
  tensor: PackTensor,
  handle: FileHandle,
  task: string,
): Promise<number[]> {
  if ((tensor.kind !== 'delta' && tensor.kind !== 'rows') || tensor.arrays === null) return []
  const { arrays, deltaElements: elements, kept, index, dtype, name } = tensor
  const at = { file: tensor.describedIn, task, tensor: name }
  const shapes = storedArrays(dtype, elements, kept, index)
  const read = (range: FileRange, from: number) =>
    readRange(handle, range.offset + from, range.length - from, { file: range.file, tensor: name })
  for (const [suffix, range] of Object.entries(arrays) as [keyof typeof shapes, FileRange][]) {
    const padding = await read(range, shapes[suffix].used * shapes[suffix].itemBytes)
    if (padding.some((byte) => byte !== 0)) throw invalid(at, `the padding of .${suffix} is not zero`)
  }
  const { used, itemBytes } = shapes.blocks
  const starts = decodeStarts(await read(arrays.blocks, 0), used, itemBytes)
  if (starts[0] !== 0 || starts[used - 1] !== kept) {
    throw invalid(at, `.blocks runs from ${starts[0]} to ${starts[used - 1]} instead of from 0 to ${kept}`)
  }
  for (let block = 0; block < blockCount(elements); block++) {
    const entries = starts[block + 1]! - starts[block]!
    const most = Math.min(BLOCK_ELEMENTS, elements - block * BLOCK_ELEMENTS)
    if (!(entries >= 0 && entries <= most)) {
      throw invalid(
        at,
        `block ${block} of ${most} elements has entries ${starts[block]} to ${starts[block + 1]}`,
      )
    }
  }
  return starts
}

function decodeStarts(bytes: Uint8Array, count: number, itemBytes: number): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: count }, (_, i) =>
    itemBytes === 4 ? view.getUint32(i * 4, true) : Number(view.getBigUint64(i * 8, true)),
  )
}
