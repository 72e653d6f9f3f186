import type { NativeFile, NativeRegion } from '../binding/binding-types.js'
import { native } from '../binding/load-binding.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { FileRange } from './pack-types.js'

/** Opens files for native jobs once each, and closes them together. */
export class NativeFiles {
  readonly #open = new Map<string, NativeFile>()

  /**
   * A file range as native code takes it; the file is opened for reading on first use.
   *
   * @param range - bytes of a file, or of memory
   * @returns the region
   * @throws TaskfoldError NOT_FOUND, IO_ERROR, NATIVE_BINDING
   */
  region(range: FileRange | Uint8Array): NativeRegion {
    if (range instanceof Uint8Array) return range
    const { file, offset, length } = range
    return { file: this.open(file, 'r'), offset, length }
  }

  /**
   * An open file; the flags count on first use.
   *
   * @param path - absolute path
   * @param flags - 'r' existing, read only; 'w' created when absent
   * @returns the file
   * @throws TaskfoldError NOT_FOUND, IO_ERROR, NATIVE_BINDING
   */
  open(path: string, flags: 'r' | 'w'): NativeFile {
    let file = this.#open.get(path)
    if (file === undefined) {
      try {
        file = native().openFile(path, flags)
      } catch (error) {
        throw toTaskfoldError(error, { file: path, action: 'open' })
      }
      this.#open.set(path, file)
    }
    return file
  }

  /** Closes one file before the others. */
  closeFile(path: string): void {
    this.#open.get(path)?.close()
    this.#open.delete(path)
  }

  /** Closes every file once no running job uses it. Idempotent. */
  close(): void {
    for (const file of this.#open.values()) file.close()
    this.#open.clear()
  }
}
