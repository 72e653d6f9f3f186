import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { BackgroundSync } from '../binding/background-sync.js'
import type { CopyJob, NativeRegion, Operand } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { byteLength, isFloatDtype } from '../checkpoint/dtypes.js'
import { layoutSafetensors, type SafetensorsLayout } from '../checkpoint/safetensors-layout.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { writeFileAtomic } from '../io/write-file-atomic.js'
import { writeRange } from '../io/write-range.js'
import type { AdapterOutput, AdapterTensor } from './adapter-types.js'
import { CONFIG_FILE } from './open-adapter.js'

/** Kohya's scripts and web UIs tell models apart by this key: SHA-256 of the bytes behind the header. */
const HASH_KEY = 'sshs_model_hash'
/** As long as a hash, so that the header has its length before the hash is known. */
const NO_HASH = '0'.repeat(64)

/** How the files of an adapter are written. */
export interface AdapterFileOptions {
  /** Open files; the adapter's own joins them. */
  files: NativeFiles
  /** Write `sshs_model_hash` (kohya). Default false. */
  hash?: boolean
  /** Wait until the disk has everything. Default true. */
  sync?: boolean
  /** Stops between two steps. */
  signal?: AbortSignal
}

/** The weights file of an adapter while its factors are being computed. */
export class AdapterFile {
  readonly #folder: string
  readonly #output: AdapterOutput
  readonly #options: AdapterFileOptions
  readonly #layout: SafetensorsLayout
  readonly #tensors: ReadonlyMap<string, AdapterTensor>
  readonly #factors = new Map<string, string>()

  private constructor(folder: string, output: AdapterOutput, options: AdapterFileOptions) {
    this.#folder = folder
    this.#output = output
    this.#options = options
    this.#layout = layoutSafetensors(output.tensors, this.#metadata(NO_HASH))
    this.#tensors = new Map(output.tensors.map((tensor) => [tensor.name, tensor]))
    for (const tensor of output.tensors) {
      if (tensor.from === 'a' || tensor.from === 'b')
        this.#factors.set(key(tensor.module, tensor.from), tensor.name)
    }
  }

  /**
   * Makes the file with its final length.
   *
   * @param folder - an existing folder
   * @param output - what the adapter will hold
   * @param options - open files, signal
   * @returns the file, its header and tensors still zeros
   * @throws TaskfoldError DISK_FULL, IO_ERROR, INVALID_ARGUMENT for names that the format does not allow
   */
  static async create(
    folder: string,
    output: AdapterOutput,
    options: AdapterFileOptions,
  ): Promise<AdapterFile> {
    throwIfAborted(options.signal)
    const file = new AdapterFile(folder, output, options)
    const opened = options.files.open(file.path, 'w')
    await callNative(() => native().allocateFile(opened, file.bytes), { context: { file: file.path } })
    return file
  }

  /** Absolute path. */
  get path(): string {
    return join(this.#folder, this.#output.fileName)
  }

  /** Length of the file. */
  get bytes(): number {
    return this.#layout.fileBytes
  }

  /** Bytes of its tensors. */
  get tensorBytes(): number {
    return this.#layout.fileBytes - this.#layout.header.byteLength
  }

  /**
   * Where a factor goes.
   *
   * @param module - of the layer
   * @param side - which factor
   * @returns an operand to write to
   */
  factor(module: string, side: 'a' | 'b'): Operand {
    const tensor = this.#factor(module, side)
    if (!isFloatDtype(tensor.dtype)) {
      throw new TaskfoldError('INTERNAL', `factor ${side} of ${module} is ${tensor.dtype}`)
    }
    return { region: this.#region(tensor), dtype: tensor.dtype }
  }

  /**
   * Bytes of both factors of a layer.
   *
   * @param module - of the layer
   * @returns bytes
   */
  factorBytes(module: string): number {
    return lengthOf(this.#factor(module, 'a')) + lengthOf(this.#factor(module, 'b'))
  }

  /**
   * Ends the file: tensors that are copied or given, the header, and adapter_config.json.
   *
   * @throws TaskfoldError FILE_TRUNCATED, DISK_FULL, IO_ERROR, CANCELLED
   */
  async finish(): Promise<void> {
    const { files, signal, sync = true } = this.#options
    await this.#copy()
    const header = this.#options.hash
      ? layoutSafetensors(this.#output.tensors, this.#metadata(await this.#hash())).header
      : this.#layout.header
    await writeRange(this.path, header, 0)
    await new BackgroundSync(native(), sync).finish(files.open(this.path, 'w'), signal)
    files.closeFile(this.path)
    const { config } = this.#output
    if (config !== null) await writeFileAtomic(join(this.#folder, CONFIG_FILE), config, { sync })
  }

  async #copy(): Promise<void> {
    const { files, signal } = this.#options
    const copies: CopyJob['copies'] = []
    for (const tensor of this.#output.tensors) {
      if (lengthOf(tensor) === 0) continue
      if (tensor.from === 'bytes')
        await writeRange(this.path, tensor.bytes, this.#layout.offsets.get(tensor.name)!)
      if (tensor.from === 'copy')
        copies.push({ name: tensor.name, from: files.region(tensor.info), to: this.#region(tensor) })
    }
    if (copies.length === 0) return
    await callNative((control) => native().copyRegions({ copies }, control), { signal })
  }

  #factor(module: string, side: 'a' | 'b'): AdapterTensor {
    const tensor = this.#tensors.get(this.#factors.get(key(module, side)) ?? '')
    if (tensor !== undefined) return tensor
    throw new TaskfoldError('INTERNAL', `${module} has no factor ${side} to write`)
  }

  #region(tensor: AdapterTensor): NativeRegion {
    const file = this.#options.files.open(this.path, 'w')
    return { file, offset: this.#layout.offsets.get(tensor.name)!, length: lengthOf(tensor) }
  }

  #metadata(hash: string): Record<string, string> {
    const { metadata } = this.#output
    return this.#options.hash ? { ...metadata, [HASH_KEY]: hash } : { ...metadata }
  }

  async #hash(): Promise<string> {
    const hash = createHash('sha256')
    try {
      for await (const chunk of createReadStream(this.path, { start: this.#layout.header.byteLength })) {
        throwIfAborted(this.#options.signal)
        hash.update(chunk as Buffer)
      }
    } catch (error) {
      throw toTaskfoldError(error, { file: this.path, action: 'read' })
    }
    return hash.digest('hex')
  }
}

function lengthOf({ dtype, shape }: AdapterTensor): number {
  return byteLength(dtype, shape)
}

function key(module: string, side: 'a' | 'b'): string {
  return `${side} ${module}`
}
