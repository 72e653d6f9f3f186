import { throwIfAborted } from '../errors/throw-if-aborted.js'
import type { NativeBinding, NativeFile } from './binding-types.js'
import { mapNativeError } from './call-native.js'

/**
 * Brings outputs to the disk while work goes on, so that the wait at a file's end stays short: cancelled work must stop
 * within a second, and an fsync cannot be stopped.
 */
export class BackgroundSync {
  readonly #binding: NativeBinding
  readonly #enabled: boolean
  #running: Promise<void> | null = null

  /**
   * @param binding - the engine
   * @param enabled - false: nothing is synced, only the signal is looked at
   */
  constructor(binding: NativeBinding, enabled = true) {
    this.#binding = binding
    this.#enabled = enabled
  }

  /**
   * Starts to sync a file, unless a sync is running.
   *
   * @param file - an output
   */
  start(file: NativeFile): void {
    if (this.#running !== null || !this.#enabled) return
    // A fault comes up again in finish, which every output passes.
    this.#running = this.#binding
      .syncFile(file)
      .catch(() => undefined)
      .then(() => {
        this.#running = null
      })
  }

  /**
   * Waits until a complete file is on the disk, or the signal fires.
   *
   * @param file - an output
   * @param signal - ends the waiting
   * @throws TaskfoldError IO_ERROR, DISK_FULL, CANCELLED
   */
  async finish(file: NativeFile, signal?: AbortSignal): Promise<void> {
    throwIfAborted(signal)
    if (!this.#enabled) return
    let stop: (() => void) | undefined
    const aborted = new Promise<void>((resolve) => {
      stop = resolve
      signal?.addEventListener('abort', stop, { once: true })
    })
    const synced = (this.#running ?? Promise.resolve()).then(() => this.#binding.syncFile(file))
    try {
      await Promise.race([synced, aborted])
    } catch (error) {
      throw mapNativeError(error, { file: file.path })
    } finally {
      synced.catch(() => undefined)
      if (stop !== undefined) signal?.removeEventListener('abort', stop)
    }
    throwIfAborted(signal)
  }
}
