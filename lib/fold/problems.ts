import { TaskfoldError } from '../errors/taskfold-error.js'

/**
 * The reader of one model does not know whose it is.
 *
 * @param error - what it threw
 * @param task - the model's task; undefined: the base
 * @returns the error with the task in its text and its fields
 */
export function ofTask(error: TaskfoldError, task: string | undefined): TaskfoldError {
  if (task === undefined || error.task !== undefined) return error
  const { code, message, file, tensor, index, hint, problems } = error
  const details = { file, tensor, index, hint, task, problems: problems && [...problems], cause: error }
  return new TaskfoldError(code, `task ${task}: ${message}`, details)
}

/**
 * Throws what a pass over the inputs found: the problem itself when there is one, PREFLIGHT_FAILED with all of them
 * when there are several, nothing when there are none.
 *
 * @param problems - everything that was found, in order
 * @throws TaskfoldError as described
 */
export function throwProblems(problems: readonly TaskfoldError[]): void {
  if (problems.length === 0) return
  if (problems.length === 1) throw problems[0]
  throw new TaskfoldError(
    'PREFLIGHT_FAILED',
    `${problems.length} problems were found before anything was written`,
    {
      problems: [...problems],
      hint: 'all of them are listed: mend them together, then run again',
    },
  )
}
