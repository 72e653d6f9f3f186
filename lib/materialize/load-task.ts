import type { NativeResidentModel, ResidentTaskJob } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { NativeFiles } from '../binding/native-files.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { createProgress } from '../io/progress.js'
import type { Pack, PackTask } from '../pack/pack-types.js'
import { deltaRegions } from '../pack/tensor-parts.js'
import { type ModelPlan, planTask, type TaskPlan } from './load-plan.js'
import type { SwitchOptions } from './load-types.js'

/**
 * Opens a task and lays it out over a model.
 *
 * @param pack - the open family
 * @param model - plan of the model
 * @param task - name of the task
 * @returns its plan
 * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task, PACK_INVALID
 */
export async function openPlan(pack: Pack, model: ModelPlan, task: string): Promise<TaskPlan> {
  requireExact(pack, task)
  return planTask(model, await pack.task(task))
}

/**
 * Refuses tasks that have no θ* under them.
 *
 * @param pack - the open family
 * @param task - name of the task
 * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT for a LoRA task
 */
export function requireExact(pack: Pack, task: string): void {
  if (pack.entry(task).codec !== 'lora') return
  throw new TaskfoldError(
    'INVALID_ARGUMENT',
    `${pack.folder}: task '${task}' is a LoRA task, which can't be loaded`,
    {
      file: pack.folder,
      task,
      hint: `unfold it to a whole model first (taskfold unfold … --task ${task} --merged), or give the adapter to your framework`,
    },
  )
}

/**
 * Puts an open task on the device, every position checked.
 *
 * @param task - the open task
 * @param plan - its plan
 * @param resident - the model
 * @param options - signal, onProgress, threads
 * @param drop - whether other tasks may be dropped when memory is short
 * @throws TaskfoldError PACK_INVALID, INPUT_CHANGED, OUT_OF_MEMORY, DEVICE_UNAVAILABLE, CANCELLED, FILE_TRUNCATED, IO_ERROR
 */
export async function loadTask(
  task: PackTask,
  plan: TaskPlan,
  resident: NativeResidentModel,
  options: SwitchOptions,
  drop: boolean,
): Promise<void> {
  const { signal, onProgress, threads } = options
  const progress = createProgress(onProgress, 'load', plan.readBytes)
  const files = new NativeFiles()
  try {
    await callNative((control) => resident.addTask(taskJob(plan, files, drop), control), {
      signal,
      threads,
      onProgress: (bytes) => progress.set(Math.min(bytes, plan.readBytes), { task: task.name }),
      context: { task: task.name },
    })
  } catch (error) {
    throw nameFile(error, task, plan)
  } finally {
    files.close()
  }
  try {
    await assertUnchanged(task)
  } catch (error) {
    await callNative(() => resident.dropTask(task.name))
    throw error
  }
  progress.done()
}

function taskJob(plan: TaskPlan, files: NativeFiles, drop: boolean): ResidentTaskJob {
  return {
    name: plan.name,
    ownBytes: plan.ownBytes,
    stored: plan.stored.map(({ name, from, at }) => ({ name, from: files.region(from), at })),
    tails: plan.tails,
    deltas: plan.deltas.map(({ name, at, delta }) => ({
      ...{ name, at, elements: delta.elements, dtype: delta.dtype },
      delta: deltaRegions(delta, files),
    })),
    drop,
  }
}

/** Native code knows the tensor whose delta lies; the file that describes it is known here. */
function nameFile(error: unknown, task: PackTask, plan: TaskPlan): unknown {
  if (!(error instanceof TaskfoldError) || error.code !== 'PACK_INVALID' || error.file !== undefined)
    return error
  const delta = plan.deltas.find(({ name }) => name === error.tensor)
  const file = task.tensors.get(delta?.name ?? '')?.describedIn ?? task.files[0]?.path
  if (file === undefined) return error
  const { code, message, tensor, hint } = error
  return new TaskfoldError(code, `${file}: ${message}`, { file, tensor, task: task.name, hint, cause: error })
}
