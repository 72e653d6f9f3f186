import type { NativeResidentModel } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { type OpenedDevice, openDevice } from '../binding/choose-device.js'
import { checkDevice } from '../binding/device-choice.js'
import { native } from '../binding/load-binding.js'
import { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { createProgress } from '../io/progress.js'
import type { Pack } from '../pack/pack-types.js'
import { explainDevice } from './load-errors.js'
import { type ModelPlan, planModel } from './load-plan.js'
import { openableTasks, requireMerged, tasksToLoad } from './load-tasks.js'
import type { LoadedModel, LoadOptions } from './load-types.js'
import { ResidentFamily } from './loaded-model.js'

/**
 * Puts θ* and a task on a GPU.
 *
 * @param pack - the open family
 * @param task - name of the task; null: θ* itself
 * @param options - device, gpuMemory, preload, signal, onProgress, threads
 * @returns the model, to be closed
 * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task or several devices, DEVICE_UNAVAILABLE,
 * OUT_OF_MEMORY, PACK_INVALID, INPUT_CHANGED, CANCELLED, IO_ERROR
 */
export async function loadModel(pack: Pack, task: string | null, options: LoadOptions): Promise<LoadedModel> {
  const { signal } = options
  throwIfAborted(signal)
  const preload = tasksToLoad(pack, task, options.preload)
  const merged = requireMerged(pack)
  const choice = oneDevice(options)
  if (task !== null) await pack.task(task)
  const plan = planModel(merged, await openableTasks(pack))
  let device: OpenedDevice | undefined
  let model: ResidentFamily | undefined
  try {
    device = await openDevice({ device: choice, gpuMemory: options.gpuMemory })
    throwIfAborted(signal)
    const resident = await loadMerged(merged, plan, device, options)
    model = new ResidentFamily({ pack, device, resident, plan })
    if (task !== null) await model.switchTo(task, options)
    for (const name of preload) await model.preload(name, options)
    return model
  } catch (error) {
    await (model === undefined ? device?.close() : model.close())
    throw explainDevice(error)
  }
}

/** One GPU; the wishes for any one mean the first. */
function oneDevice({ device, gpuMemory }: LoadOptions): `cuda:${number}` {
  const choice = checkDevice({ device, gpuMemory })
  const devices = choice.kind === 'cuda' ? (choice.devices ?? [0]) : [0]
  if (devices.length === 1) return `cuda:${devices[0]!}`
  throw new TaskfoldError('INVALID_ARGUMENT', `a model lives on one device, got ${device}`, {
    hint: 'load one model on each device',
  })
}

async function loadMerged(
  merged: Checkpoint,
  plan: ModelPlan,
  device: OpenedDevice,
  options: LoadOptions,
): Promise<NativeResidentModel> {
  const { signal, threads } = options
  const progress = createProgress(options.onProgress, 'load', merged.totalBytes)
  const files = new NativeFiles()
  let resident: NativeResidentModel | undefined
  try {
    const copies = plan.copies.map(({ name, from, at }) => ({ name, from: files.region(from), at }))
    resident = await callNative(
      (control) => native().loadResidentModel({ bytes: plan.bytes, copies }, control),
      {
        ...{ signal, threads, device: device.set },
        onProgress: (bytes) => progress.set(bytes),
      },
    )
    await assertUnchanged(merged)
  } catch (error) {
    resident?.close()
    throw error
  } finally {
    files.close()
  }
  progress.done()
  return resident
}
