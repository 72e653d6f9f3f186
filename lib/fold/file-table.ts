import type { NativeBinding, NativeFile, NativeRegion, Operand } from '../binding/binding-types.js'
import { mapNativeError } from '../binding/call-native.js'
import type { TensorInfo } from '../checkpoint/checkpoint-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { TaskfoldError } from '../errors/taskfold-error.js'

/** Below the usual limit of 1024 open files, with room for the rest of the process. */
const MAX_OPEN = 256

/** Opened files of a fold, each opened once and closed when too many are. */
export class FileTable {
  readonly #binding: NativeBinding
  readonly #inputs = new Map<string, NativeFile>()
  readonly #outputs = new Map<string, NativeFile>()

  constructor(binding: NativeBinding) {
    this.#binding = binding
  }

  /**
   * @param tensor - a tensor of an input
   * @param length - bytes, when only its first ones are meant
   * @returns its bytes
   * @throws TaskfoldError NOT_FOUND or IO_ERROR naming the file
   */
  region(tensor: TensorInfo, length = tensor.length): NativeRegion {
    return { file: this.input(tensor.file), offset: tensor.offset, length }
  }

  /**
   * @param tensor - a floating tensor of an input
   * @param length - bytes, when only its first ones are meant
   * @returns it as an operand
   */
  operand(tensor: TensorInfo, length = tensor.length): Operand {
    if (!isFloatDtype(tensor.dtype)) throw new TaskfoldError('INTERNAL', `${tensor.name} is ${tensor.dtype}`)
    return { region: this.region(tensor, length), dtype: tensor.dtype }
  }

  /**
   * @param path - a file to read
   * @returns it, open until {@link FileTable.trim} or {@link FileTable.close}
   */
  input(path: string): NativeFile {
    return this.#open(this.#inputs, path, 'r')
  }

  /**
   * @param path - a file that this fold writes
   * @returns it, open until {@link FileTable.close} or {@link FileTable.release}
   */
  output(path: string): NativeFile {
    return this.#open(this.#outputs, path, 'w')
  }

  /**
   * Closes an output that is complete.
   *
   * @param path - as given to {@link FileTable.output}
   */
  release(path: string): void {
    this.#outputs.get(path)?.close()
    this.#outputs.delete(path)
  }

  /** Closes the inputs that were opened first when there are too many. To be called between jobs only. */
  trim(): void {
    for (const [path, file] of this.#inputs) {
      if (this.#inputs.size <= MAX_OPEN) break
      file.close()
      this.#inputs.delete(path)
    }
  }

  /** Closes everything. */
  close(): void {
    for (const table of [this.#inputs, this.#outputs]) {
      for (const file of table.values()) file.close()
      table.clear()
    }
  }

  #open(table: Map<string, NativeFile>, path: string, flags: 'r' | 'w'): NativeFile {
    const known = table.get(path)
    if (known !== undefined) return known
    try {
      const file = this.#binding.openFile(path, flags)
      table.set(path, file)
      return file
    } catch (error) {
      throw mapNativeError(error, { file: path })
    }
  }
}
