import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { FloatDtype, NativeFile, NativeRegion, Operand } from './binding-types.js'
import { native } from './load-binding.js'

/** Bytes of one file. */
export interface FileRange {
  /** Absolute path. */
  file: string
  /** First byte, counted from the start of the file. */
  offset: number
  /** Length in bytes, with padding where the format pads. */
  length: number
}

const FLOAT_DTYPES: ReadonlySet<string> = new Set<FloatDtype>(['F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'])

/** Opens files for native jobs once each, and closes them together. */
export class NativeFiles {
  readonly #open = new Map<string, NativeFile>()
  readonly #owned: { close(): void }[] = []

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
   * A stored floating tensor as an operand of a job.
   *
   * @param tensor - its bytes and dtype
   * @returns the operand
   * @throws TaskfoldError INTERNAL for a dtype that the kernels do not take; NOT_FOUND, IO_ERROR, NATIVE_BINDING
   */
  operand(tensor: FileRange & { name: string; dtype: string }): Operand {
    if (!FLOAT_DTYPES.has(tensor.dtype)) {
      throw new TaskfoldError('INTERNAL', `tensor ${tensor.name} is ${tensor.dtype}`, { tensor: tensor.name })
    }
    return { region: this.region(tensor), dtype: tensor.dtype as FloatDtype }
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

  /**
   * Closes something else that reads these files together with them.
   *
   * @param resource - closed by {@link NativeFiles.close}
   */
  own(resource: { close(): void }): void {
    this.#owned.push(resource)
  }

  /** Closes one file before the others. */
  closeFile(path: string): void {
    this.#open.get(path)?.close()
    this.#open.delete(path)
  }

  /** Closes every file once no running job uses it. Idempotent. */
  close(): void {
    for (const resource of this.#owned.splice(0)) resource.close()
    for (const file of this.#open.values()) file.close()
    this.#open.clear()
  }
}
