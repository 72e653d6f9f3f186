import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { createProgress, type OnProgress } from '../io/progress.js'
import type { FoldSettings } from './fold-options.js'
import type { FoldInputs } from './plan-types.js'

/** The models, or, when some cannot be opened, why. */
export type ReadInputs = { inputs: FoldInputs; problems: [] } | { inputs: null; problems: TaskfoldError[] }

/**
 * Reads the headers of all models, going on after a bad one so that all are reported at once.
 *
 * @param settings - where the models are
 * @param control - signal and progress
 * @returns the opened models, or one problem for each that could not be opened
 * @throws TaskfoldError CANCELLED
 */
export async function readInputs(
  settings: FoldSettings,
  control: { signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<ReadInputs> {
  const { signal } = control
  const progress = createProgress(control.onProgress, 'read headers', settings.tasks.length + 1)
  const problems: TaskfoldError[] = []
  const open = async (source: string, task?: string): Promise<Checkpoint | null> => {
    try {
      return await readCheckpoint(source, { cacheDir: settings.cacheDir, signal })
    } catch (error) {
      throwIfAborted(signal)
      problems.push(ofTask(toTaskfoldError(error, { file: source, action: 'read' }), task))
      return null
    } finally {
      progress.add(1, { task })
    }
  }
  const base = await open(settings.base)
  const tasks: { name: string; checkpoint: Checkpoint }[] = []
  for (const { name, path } of settings.tasks) {
    const checkpoint = await open(path, name)
    if (checkpoint !== null) tasks.push({ name, checkpoint })
  }
  progress.done()
  return base === null || problems.length > 0
    ? { inputs: null, problems }
    : { inputs: { base, tasks }, problems: [] }
}

/** The reader of one model does not know whose it is. */
function ofTask(error: TaskfoldError, task: string | undefined): TaskfoldError {
  if (task === undefined || error.task !== undefined) return error
  const { code, message, file, tensor, index, hint, problems } = error
  const details = { file, tensor, index, hint, task, problems: problems && [...problems], cause: error }
  return new TaskfoldError(code, `task ${task}: ${message}`, details)
}
