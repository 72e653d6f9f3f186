import { escapeControls } from './quote-name.js'
import { TaskfoldError } from './taskfold-error.js'
import { toTaskfoldError } from './to-taskfold-error.js'

/** More problems than a person reads at once; the rest is counted. */
const SHOWN_PROBLEMS = 50

/**
 * The lines that a terminal shows for an error: message and code, each problem, and what to do.
 * Control characters, which names from files may hold, are escaped.
 *
 * @param error - anything that was thrown
 * @returns one or more lines, joined with newlines, without a trailing one
 */
export function formatError(error: unknown): string {
  const typed = error instanceof TaskfoldError ? error : toTaskfoldError(error)
  const lines = [`error: ${escapeControls(typed.message)} (${typed.code})`]
  const problems = typed.problems ?? []
  for (const problem of problems.slice(0, SHOWN_PROBLEMS)) {
    lines.push(`  - ${escapeControls(problem.message)} (${problem.code})`)
    if (problem.hint !== undefined) lines.push(`    ${escapeControls(problem.hint)}`)
  }
  if (problems.length > SHOWN_PROBLEMS) lines.push(`  … and ${problems.length - SHOWN_PROBLEMS} more`)
  if (typed.hint !== undefined) lines.push(`hint: ${escapeControls(typed.hint)}`)
  return lines.join('\n')
}
