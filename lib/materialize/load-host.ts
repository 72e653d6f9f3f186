import { callNative } from '../binding/call-native.js'
import { checkDevice } from '../binding/device-choice.js'
import { native } from '../binding/load-binding.js'
import { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { createProgress } from '../io/progress.js'
import type { Pack } from '../pack/pack-types.js'
import { HostCache } from './host-cache.js'
import { allocateShared } from './host-memory.js'
import { HostFamily } from './host-model.js'
import { planMemory } from './host-plan.js'
import type { HostMemory } from './host-switch.js'
import type { HostLoadOptions, HostModel } from './host-types.js'
import { openableTasks, requireMerged, tasksToLoad } from './load-tasks.js'

/**
 * Puts θ* and a task into memory that threads share.
 *
 * @param pack - the open family
 * @param task - name of the task; null: θ* itself
 * @param options - memory, preload, signal, onProgress, threads
 * @returns the model, to be closed
 * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task, OUT_OF_MEMORY, PACK_INVALID, INPUT_CHANGED, CANCELLED,
 * IO_ERROR
 */
export async function loadHost(
  pack: Pack,
  task: string | null,
  options: HostLoadOptions = {},
): Promise<HostModel> {
  throwIfAborted(options.signal)
  checkDevice(options)
  const preload = tasksToLoad(pack, task, options.preload)
  const merged = requireMerged(pack)
  const limit = memoryLimit(options.memory, merged)
  if (task !== null) await pack.task(task)
  const memory = new Map<string, Uint8Array>()
  for (const [name, bytes] of planMemory(merged, await openableTasks(pack))) {
    memory.set(name, allocateShared(bytes, name))
  }
  await readMerged(merged, memory, options)
  const model = new HostFamily({ pack, merged, memory, cache: new HostCache(pack, limit) })
  if (task !== null) await model.switchTo(task, options)
  for (const name of preload) await model.preload(name, options)
  return model
}

function memoryLimit(memory: number | undefined, merged: Checkpoint): number {
  if (memory === undefined) return merged.totalBytes
  if (Number.isSafeInteger(memory) && memory >= 0) return memory
  throw new TaskfoldError(
    'INVALID_ARGUMENT',
    `memory must be a whole number of bytes, got ${String(memory)}`,
    { hint: 'for instance 8 * 2 ** 30' },
  )
}

async function readMerged(merged: Checkpoint, memory: HostMemory, options: HostLoadOptions): Promise<void> {
  const { signal, threads } = options
  const progress = createProgress(options.onProgress, 'load', merged.totalBytes)
  const files = new NativeFiles()
  try {
    const copies = [...merged.tensors.values()].map((tensor) => {
      const to = memory.get(tensor.name)!.subarray(0, tensor.length)
      return { name: tensor.name, from: files.region(tensor), to }
    })
    await callNative((control) => native().copyRegions({ copies }, control), {
      ...{ signal, threads },
      onProgress: (bytes) => progress.set(bytes),
    })
    await assertUnchanged(merged)
  } finally {
    files.close()
  }
  progress.done()
}
