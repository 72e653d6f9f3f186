import { TaskfoldError } from '../errors/taskfold-error.js'

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
