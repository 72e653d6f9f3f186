import { BLOCK_ELEMENTS } from '../pack/pack-format.js'
import { floatBytes } from '../pack/stored-arrays.js'
import type { TensorPart } from '../pack/tensor-parts.js'

/**
 * Cuts a part with a delta into runs of whole blocks, so that a tensor of any size can be decoded into a small buffer.
 *
 * @param part - with a delta
 * @param starts - first entry of every block, and the number of entries behind the last
 * @param maxBytes - most bytes of a run; at least one block of the widest dtype
 * @returns parts that together are the same; `at` counts from the start of the tensor
 */
export function splitDelta(part: TensorPart, starts: readonly number[], maxBytes: number): TensorPart[] {
  if (part.delta === null || part.length <= maxBytes) return [part]
  const { dtype, elements, index, arrays } = part.delta
  const size = floatBytes(dtype)
  const blocksPerRun = Math.floor(maxBytes / (BLOCK_ELEMENTS * size))
  const runs: TensorPart[] = []
  for (let block = 0; block * BLOCK_ELEMENTS < elements; block += blocksPerRun) {
    const first = block * BLOCK_ELEMENTS
    const count = Math.min(blocksPerRun * BLOCK_ELEMENTS, elements - first)
    const entries = starts.slice(block, block + Math.ceil(count / BLOCK_ELEMENTS) + 1)
    const begin = entries[0]!
    const kept = entries.at(-1)! - begin
    runs.push({
      tensor: part.tensor,
      at: part.at + first * size,
      length: count * size,
      from: { file: part.from.file, offset: part.from.offset + first * size, length: count * size },
      delta: {
        elements: count,
        dtype,
        kept,
        index,
        arrays: {
          value: slice(arrays.value, begin * size, kept * size),
          index:
            index === 'u16'
              ? slice(arrays.index, begin * 2, kept * 2)
              : slice(arrays.index, first / 8, Math.ceil(count / 8)),
          blocks: encodeStarts(entries.map((entry) => entry - begin)),
        },
      },
    })
  }
  return runs
}

function slice<T extends { file: string; offset: number }>(
  { file, offset }: T,
  from: number,
  length: number,
) {
  return { file, offset: offset + from, length }
}

/** u32: a run has far fewer than 2^32 entries. */
function encodeStarts(starts: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(starts.length * 4))
  for (const [i, start] of starts.entries()) view.setUint32(i * 4, start, true)
  return new Uint8Array(view.buffer)
}
