import { markAsUntransferable } from 'node:worker_threads'
import { callNative, mapNativeError } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { Checkpoint, Dtype } from '../checkpoint/checkpoint-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import type { Pack } from '../pack/pack-types.js'
import type { HostCache } from './host-cache.js'
import { viewOf } from './host-memory.js'
import { type HostMemory, switchHost } from './host-switch.js'
import type { HostTask } from './host-task.js'
import type { HostArray, HostModel, HostTensor } from './host-types.js'
import { modelClosed, noTensor } from './load-errors.js'
import type { SwitchOptions } from './load-types.js'
import { allocateTensor, type TaskTensorData } from './materialize-tensor.js'

/** Parts of a model in memory. */
export interface HostParts {
  pack: Pack
  merged: Checkpoint
  /** Shared memory of each tensor, from its buffer's first byte on; holds θ*. */
  memory: HostMemory
  cache: HostCache
}

/** {@link HostModel} over shared memory. */
export class HostFamily implements HostModel {
  readonly device = 'cpu'
  readonly version = new Int32Array(new SharedArrayBuffer(4))
  task: string | null = null
  tensors: ReadonlyMap<string, HostTensor> = new Map()

  readonly #parts: HostParts
  readonly #memoryBytes: number
  readonly #views = new Map<string, HostArray>()
  #current: HostTask | null = null
  /** The last call; the next one begins when it has settled. */
  #last: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined
  #closed = false
  #broken: TaskfoldError | undefined

  constructor(parts: HostParts) {
    this.#parts = parts
    this.#memoryBytes = [...parts.memory.values()].reduce((sum, { length }) => sum + length, 0)
    this.#show()
  }

  get loadedTasks(): readonly string[] {
    return this.#parts.cache.names
  }

  get bytes(): number {
    return this.#closed ? 0 : this.#memoryBytes + this.#parts.cache.bytes
  }

  async switchTo(task: string | null, options: SwitchOptions = {}): Promise<void> {
    await this.#inTurn(options.signal, async () => {
      const { cache, memory, merged } = this.#parts
      const enter = task === null ? null : await cache.take(task, options)
      throwIfAborted(options.signal)
      if (enter !== this.#current) {
        cache.shrink([this.task, task])
        Atomics.add(this.version, 0, 1)
        try {
          await switchHost(merged, memory, this.#current, enter, options.threads)
        } catch (error) {
          throw this.#break(error)
        }
        this.#current = enter
        this.task = task
        this.#show()
        Atomics.add(this.version, 0, 1)
        Atomics.notify(this.version, 0)
      }
      cache.shrink([task])
    })
  }

  /** Loads a task without entering it; no other task is dropped for it. */
  async preload(task: string, options: SwitchOptions): Promise<void> {
    await this.#inTurn(options.signal, async () => {
      await this.#parts.cache.take(task, options)
      this.#parts.cache.requireRoom()
    })
  }

  async read(name: string, options: { signal?: AbortSignal } = {}): Promise<TaskTensorData> {
    return await this.#inTurn(options.signal, async () => {
      const { dtype, shape, byteLength, data: elements } = this.#tensor(name)
      const data = allocateTensor(byteLength, name, this.task ?? undefined)
      const from = new Uint8Array(elements.buffer, 0, byteLength)
      const copies = [{ name, from, to: data }]
      await callNative((control) => native().copyRegions({ copies }, control), { signal: options.signal })
      return { name, dtype, shape: [...shape], data }
    })
  }

  unshared(name: string): HostArray {
    this.#requireOpen()
    const { dtype, byteLength, data } = this.#tensor(name)
    try {
      const buffer = native().unsharedBuffer(new Uint8Array(data.buffer, 0, byteLength))
      // Another thread could use it longer than this one keeps the memory.
      markAsUntransferable(buffer)
      return viewOf(dtype, buffer, byteLength)
    } catch (error) {
      throw mapNativeError(error)
    }
  }

  async close(): Promise<void> {
    this.#closing ??= this.#last.then(() => {
      this.#closed = true
      this.#parts.cache.clear()
      this.#parts.memory = new Map()
      this.#views.clear()
      this.#current = null
      this.task = null
      this.tensors = new Map()
    })
    await this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Runs one call after those before it. */
  async #inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    this.#requireOpen()
    const turn = this.#last.then(async () => {
      throwIfAborted(signal)
      if (this.#broken !== undefined) throw this.#broken
      return await work()
    })
    this.#last = turn.catch(() => undefined)
    return await turn
  }

  /** Some tensors may be the one task's and others the other's: nobody can tell any more what the memory holds. */
  #break(error: unknown): TaskfoldError {
    const { code, message, file, tensor, task } = mapNativeError(error)
    this.#broken = new TaskfoldError(code, `a switch failed, the model can't be used any more: ${message}`, {
      ...{ file, tensor, task, cause: error },
      hint: 'close the model and load it again with family.load',
    })
    return this.#broken
  }

  #show(): void {
    const { merged, memory } = this.#parts
    const view = (
      place: { name: string; dtype: Dtype; shape: readonly number[] },
      of: string,
      bytes: number,
    ) => {
      const { name, dtype, shape } = place
      const key = JSON.stringify([of, dtype, bytes])
      const data = this.#views.get(key) ?? viewOf(dtype, memory.get(of)!.buffer, bytes)
      this.#views.set(key, data)
      return [name, { name, dtype, shape, byteLength: bytes, data }] as const
    }
    const { task } = this.#current ?? {}
    this.tensors = new Map(
      task === undefined
        ? [...merged.tensors.values()].map((tensor) => view(tensor, tensor.name, tensor.length))
        : [...task.tensors.values()].map((tensor) =>
            view(tensor, tensor.kind === 'alias' ? tensor.of : tensor.name, tensor.byteLength),
          ),
    )
  }

  #tensor(name: string): HostTensor {
    const tensor = this.tensors.get(name)
    if (tensor !== undefined) return tensor
    throw noTensor(this.#parts.pack.folder, this.task, name)
  }

  #requireOpen(): void {
    if (this.#closing === undefined) return
    throw modelClosed(this.#parts.pack.folder)
  }
}
