import { rm } from 'node:fs/promises'
import type { FloatDtype, NativeRegion, Operand } from '../binding/binding-types.js'
import type { NativeFiles } from '../binding/native-files.js'
import { byteLength } from '../checkpoint/dtypes.js'
import { openInput } from '../io/open-input.js'
import { readRange } from '../io/read-range.js'

/** Where the factors of one layer lie in a {@link FactorSpill}. */
export interface SpilledFactors {
  rows: number
  columns: number
  /** Components found. */
  rank: number
  dtype: FloatDtype
  /** B [rows × rank] and A [rank × columns]. */
  b: { offset: number; length: number }
  a: { offset: number; length: number }
}

/**
 * Factors that wait on disk until the rank of every layer, and with it the header in front of them, is known. So memory
 * stays that of one layer's sketch for any model.
 */
export class FactorSpill {
  readonly path: string
  readonly #files: NativeFiles
  #end = 0

  /**
   * @param path - the file to make
   * @param files - open files
   */
  constructor(path: string, files: NativeFiles) {
    this.path = path
    this.#files = files
  }

  /**
   * Room for one layer, behind what was kept so far.
   *
   * @param shape - extents, most components, dtype
   * @returns operands to write to, and `keep` to be told how many components there are
   */
  reserve(shape: { rows: number; columns: number; rank: number; dtype: FloatDtype }): {
    b: Operand
    a: Operand
    keep: (kept: number) => SpilledFactors
  } {
    const { rows, columns, rank, dtype } = shape
    const file = this.#files.open(this.path, 'w')
    const start = this.#end
    const middle = start + byteLength(dtype, [rows, rank])
    const region = (offset: number, length: number): NativeRegion => ({ file, offset, length })
    return {
      b: { region: region(start, middle - start), dtype },
      a: { region: region(middle, byteLength(dtype, [rank, columns])), dtype },
      keep: (kept) => {
        const b = { offset: start, length: byteLength(dtype, [rows, kept]) }
        const a = { offset: middle, length: byteLength(dtype, [kept, columns]) }
        this.#end = a.offset + a.length
        return { rows, columns, rank: kept, dtype, b, a }
      },
    }
  }

  /**
   * Reads a factor and transposes it.
   *
   * @param from - place in this file of a matrix [rows × columns]
   * @param rows - extent
   * @param columns - extent
   * @returns bytes of the matrix [columns × rows]
   */
  async transposed(
    from: { offset: number; length: number },
    rows: number,
    columns: number,
  ): Promise<Uint8Array> {
    const { handle } = await openInput(this.path)
    try {
      const bytes = await readRange(handle, from.offset, from.length, { file: this.path })
      const item = from.length / (rows * columns)
      const source = itemsOf(new Uint8Array(bytes), item)
      const target = itemsOf(new Uint8Array(from.length), item)
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) target[j * rows + i] = source[i * columns + j]!
      }
      return new Uint8Array(target.buffer)
    } finally {
      await handle.close()
    }
  }

  /** Removes the file. */
  async remove(): Promise<void> {
    this.#files.closeFile(this.path)
    await rm(this.path, { force: true })
  }
}

function itemsOf(bytes: Uint8Array, item: number): Uint32Array | Uint16Array | Uint8Array {
  const { buffer } = bytes
  if (item === 4) return new Uint32Array(buffer)
  return item === 2 ? new Uint16Array(buffer) : new Uint8Array(buffer)
}
