import type { NativeResidentModel } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import type { OpenedDevice } from '../binding/choose-device.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import type { Pack } from '../pack/pack-types.js'
import { explainDevice, modelClosed, noTensor } from './load-errors.js'
import type { ModelPlan, PlacedTensor, TaskPlan } from './load-plan.js'
import { loadTask, openPlan } from './load-task.js'
import type { LoadedModel, LoadedTensor, SharedModel, SharedTensor, SwitchOptions } from './load-types.js'
import type { TaskTensorData } from './materialize-tensor.js'
import { allocateTensor } from './materialize-tensor.js'

/** Parts of an open model. */
export interface ModelParts {
  pack: Pack
  device: OpenedDevice
  resident: NativeResidentModel
  plan: ModelPlan
}

/** {@link LoadedModel} over the addon's. */
export class ResidentFamily implements LoadedModel {
  readonly device: string
  task: string | null = null
  loadedTasks: readonly string[] = []
  tensors: ReadonlyMap<string, LoadedTensor> = new Map()
  bytes = 0

  readonly #parts: ModelParts
  readonly #plans = new Map<string, TaskPlan>()
  /** The last call; the next one begins when it has settled. */
  #last: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(parts: ModelParts) {
    this.#parts = parts
    this.device = parts.device.device
    this.#refresh()
  }

  async switchTo(task: string | null, options: SwitchOptions = {}): Promise<void> {
    await this.#inTurn(options.signal, async () => {
      if (task !== null) await this.#load(task, options, true)
      await callNative((control) => this.#parts.resident.switchTo(task, control), {
        context: { task: task ?? undefined },
      })
    })
  }

  /** Puts a task on the device without entering it; no other task is dropped for it. */
  async preload(task: string, options: SwitchOptions): Promise<void> {
    await this.#inTurn(options.signal, () => this.#load(task, options, false))
  }

  async read(name: string, options: { signal?: AbortSignal } = {}): Promise<TaskTensorData> {
    return await this.#inTurn(options.signal, async () => {
      const { dtype, shape, byteLength, memory, at } = this.#place(name)
      const data = allocateTensor(byteLength, name, this.task ?? undefined)
      const job = { task: memory === 'task' ? this.task : null, at, out: data }
      await callNative((control) => this.#parts.resident.read(job, control), {
        signal: options.signal,
        context: { task: this.task ?? undefined },
      })
      return { name, dtype, shape: [...shape], data }
    })
  }

  dlpack(name: string): bigint {
    this.#requireOpen()
    const { dtype, shape, byteLength, memory, at } = this.#place(name)
    try {
      const task = memory === 'task' ? this.task : null
      return this.#parts.resident.dlpack({ task, at, bytes: byteLength, dtype, shape: [...shape] })
    } catch (error) {
      throw explainDevice(error)
    }
  }

  async ipcHandle(): Promise<SharedModel> {
    return await this.#inTurn(undefined, async () => {
      const { resident } = this.#parts
      const places = [...this.#places().values()]
      const own = places.some(({ memory, byteLength }) => memory === 'task' && byteLength > 0)
      const tensors = places.map(({ name, dtype, shape, byteLength, memory, at }): [string, SharedTensor] => [
        name,
        { dtype, shape, byteLength, memory, offset: at },
      ])
      return {
        handle: await callNative(() => resident.exportHandle(null)),
        taskHandle: own ? await callNative(() => resident.exportHandle(this.task)) : null,
        device: this.device,
        task: this.task,
        tensors: new Map(tensors),
      }
    })
  }

  async close(): Promise<void> {
    this.#closing ??= this.#last.then(() => {
      this.#parts.resident.close()
      this.#parts.device.close()
      this.task = null
      this.loadedTasks = []
      this.tensors = new Map()
      this.bytes = 0
    })
    await this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Runs one call after those before it, and shows what it left behind, whether it failed or not. */
  async #inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    this.#requireOpen()
    const turn = this.#last.then(async () => {
      try {
        throwIfAborted(signal)
        return await work()
      } catch (error) {
        throw explainDevice(error)
      } finally {
        this.#refresh()
      }
    })
    this.#last = turn.catch(() => undefined)
    return await turn
  }

  async #load(task: string, options: SwitchOptions, drop: boolean): Promise<void> {
    const { pack, plan, resident } = this.#parts
    const known = this.#plans.get(task) ?? (await openPlan(pack, plan, task))
    this.#plans.set(task, known)
    if (!this.loadedTasks.includes(task))
      await loadTask(await pack.task(task), known, resident, options, drop)
  }

  #refresh(): void {
    const { current, loaded, bytes, mergedAddress, taskAddress } = this.#parts.resident.state()
    const moved = this.tensors.size === 0 || current !== this.task
    this.task = current
    this.loadedTasks = loaded
    this.bytes = bytes
    if (!moved) return
    const tensors = [...this.#places().values()].map((place): [string, LoadedTensor] => {
      const { name, dtype, shape, byteLength, memory, at } = place
      const pointer = (memory === 'model' ? mergedAddress : taskAddress) + BigInt(at)
      const offset = memory === 'model' ? at : null
      return [name, { name, dtype, shape, byteLength, device: this.device, pointer, offset }]
    })
    this.tensors = new Map(tensors)
  }

  #places(): ReadonlyMap<string, PlacedTensor> {
    return this.task === null ? this.#parts.plan.tensors : this.#plans.get(this.task)!.tensors
  }

  #place(name: string): PlacedTensor {
    const place = this.#places().get(name)
    if (place !== undefined) return place
    throw noTensor(this.#parts.pack.folder, this.task, name)
  }

  #requireOpen(): void {
    if (this.#closing === undefined) return
    throw modelClosed(this.#parts.pack.folder)
  }
}
