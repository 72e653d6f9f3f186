import { TaskfoldError } from '../errors/taskfold-error.js'
import type { Pack } from '../pack/pack-types.js'
import { type HostTask, readHostTask } from './host-task.js'
import { requireExact } from './load-task.js'
import type { SwitchOptions } from './load-types.js'

/** Tasks in memory, the most recently used last; those used least recently are dropped when they need too much. */
export class HostCache {
  readonly #pack: Pack
  readonly #memory: number
  readonly #tasks = new Map<string, HostTask>()

  /**
   * @param pack - the open family
   * @param memory - bytes that the entries may take
   */
  constructor(pack: Pack, memory: number) {
    this.#pack = pack
    this.#memory = memory
  }

  /** Names of the tasks, the most recently used last. */
  get names(): string[] {
    return [...this.#tasks.keys()]
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return [...this.#tasks.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /**
   * A task, read when it is not in memory; now the most recently used one.
   *
   * @param name - of the task
   * @param options - for reading: signal, onProgress, threads
   * @returns the task
   * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task, PACK_INVALID, INPUT_CHANGED, OUT_OF_MEMORY, CANCELLED,
   * IO_ERROR
   */
  async take(name: string, options: SwitchOptions): Promise<HostTask> {
    requireExact(this.#pack, name)
    const task = this.#tasks.get(name) ?? (await readHostTask(await this.#pack.task(name), options))
    this.#tasks.delete(name)
    this.#tasks.set(name, task)
    return task
  }

  /**
   * Refuses that the entries need more than they may.
   *
   * @throws TaskfoldError OUT_OF_MEMORY
   */
  requireRoom(): void {
    if (this.bytes <= this.#memory) return
    throw new TaskfoldError(
      'OUT_OF_MEMORY',
      `the entries of ${this.names.join(', ')} take ${this.bytes} bytes, but memory is ${this.#memory}`,
      { file: this.#pack.folder, hint: 'give more memory, or preload fewer tasks' },
    )
  }

  /**
   * Drops tasks until the rest fits.
   *
   * @param keep - tasks that stay, whatever they need
   */
  shrink(keep: readonly (string | null)[]): void {
    for (const name of this.names) {
      if (this.bytes <= this.#memory) return
      if (!keep.includes(name)) this.#tasks.delete(name)
    }
  }

  /** Drops all tasks. */
  clear(): void {
    this.#tasks.clear()
  }
}
