import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { Pack, PackTask } from '../pack/pack-types.js'
import { requireExact } from './load-task.js'
import type { LoadOptions } from './load-types.js'

/**
 * What is loaded beside the task.
 *
 * @param pack - the open family
 * @param task - the task; null: θ* itself
 * @param preload - as the caller gave it, trusted in nothing
 * @returns names of other tasks, in order
 * @throws TaskfoldError NOT_FOUND, INVALID_ARGUMENT also for LoRA tasks
 */
export function tasksToLoad(pack: Pack, task: string | null, preload: LoadOptions['preload']): string[] {
  if (task !== null) requireExact(pack, task)
  const all = pack.manifest.tasks.filter(({ codec }) => codec !== 'lora').map(({ name }) => name)
  const wanted: readonly unknown[] = preload === true ? all : (preload ?? [])
  if (!Array.isArray(wanted) || !wanted.every((name) => typeof name === 'string')) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'preload must be true or a list of tasks')
  }
  for (const name of wanted) requireExact(pack, name)
  return [...new Set<string>(wanted)].filter((name) => name !== task)
}

/**
 * θ* of a family.
 *
 * @param pack - the open family
 * @returns its merged checkpoint
 * @throws TaskfoldError INVALID_ARGUMENT when all of its tasks are LoRA tasks
 */
export function requireMerged({ merged, folder }: Pack): Checkpoint {
  if (merged !== null) return merged
  throw new TaskfoldError(
    'INVALID_ARGUMENT',
    `${folder}: all of its tasks are LoRA tasks, there is no θ* to load`,
    {
      file: folder,
      hint: 'unfold a task to a whole model first (taskfold unfold … --merged)',
    },
  )
}

/**
 * Opens tasks for the room that their tensors need. A task with a damaged header must not keep the others from being loaded.
 *
 * @param pack - the open family
 * @returns its full fine-tunes that can be opened
 */
export async function openableTasks(pack: Pack): Promise<PackTask[]> {
  const opened: PackTask[] = []
  for (const { name, codec } of pack.manifest.tasks) {
    if (codec === 'lora') continue
    const task = await pack.task(name).catch(() => undefined)
    if (task !== undefined) opened.push(task)
  }
  return opened
}
