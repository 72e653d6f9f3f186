import { NativeFiles } from '../binding/native-files.js'
import type { Pack } from '../pack/pack-types.js'
import { materializeTensor, type TaskTensorData } from './materialize-tensor.js'
import type { BaseOptions } from './open-base.js'
import { openTaskModel } from './task-model.js'

/** How a task's tensors are made in memory; where the base is matters for LoRA tasks alone. */
export interface TaskTensorsOptions extends BaseOptions {
  /** Ends the walk with CANCELLED. */
  signal?: AbortSignal
  /** Threads at most. Default: the machine's. */
  threads?: number
}

/**
 * Walks over all tensors of a task in bytewise order of their names. While the caller works with one, the next is being
 * made: at most two are in memory.
 *
 * @param pack - the open family
 * @param task - name of the task
 * @param options - signal and threads
 * @yields one tensor after the other, each a copy that the caller owns
 * @throws TaskfoldError as materializeTensor does
 */
export async function* taskTensors(
  pack: Pack,
  task: string,
  options: TaskTensorsOptions = {},
): AsyncGenerator<TaskTensorData, void, undefined> {
  const stop = new AbortController()
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  const files = new NativeFiles()
  let names: readonly string[] = []
  const make = (i: number): Promise<TaskTensorData> | undefined => {
    const name = names[i]
    if (name === undefined) return undefined
    const tensor = materializeTensor(pack, task, name, { ...options, files, signal })
    // Its failure is reported when it is the caller's turn, not as an unhandled rejection before.
    tensor.catch(() => undefined)
    return tensor
  }
  let next: Promise<TaskTensorData> | undefined
  try {
    names = (await openTaskModel(pack, task, { ...options, files, signal })).names
    next = make(0)
    for (let i = 1; next !== undefined; i++) {
      const tensor = await next
      next = make(i)
      yield tensor
    }
  } finally {
    stop.abort()
    await next?.catch(() => undefined)
    files.close()
  }
}
