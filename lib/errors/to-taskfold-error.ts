import { isErrorCode } from './error-code-list.js'
import type { ErrorCode } from './error-codes.js'
import { type ErrorDetails, TaskfoldError } from './taskfold-error.js'

/** What was being done when an error came up; fills what the error itself does not know. */
export interface ErrorContext {
  /** Path of the file or folder that was worked on. */
  file?: string
  /** Tensor that was worked on. */
  tensor?: string
  /** Task that was worked on. */
  task?: string
  /** What was tried, to be read after "could not": `read`, `write`, `create the folder`. */
  action?: string
}

interface ForeignError {
  code?: unknown
  message?: unknown
  name?: unknown
  path?: unknown
  file?: unknown
  tensor?: unknown
  task?: unknown
  index?: unknown
  hint?: unknown
}

const byErrno: Readonly<Record<string, readonly [ErrorCode, string, string?]>> = {
  ENOENT: ['NOT_FOUND', 'no such file or folder', 'Check the path.'],
  ENOTDIR: ['NOT_FOUND', 'a part of the path is not a folder', 'Check the path.'],
  ENOSPC: ['DISK_FULL', 'no space left on the disk', 'Free some space or write to another disk.'],
  EDQUOT: ['DISK_FULL', 'the disk quota is used up', 'Free some space or write to another disk.'],
  ENOMEM: ['OUT_OF_MEMORY', 'not enough memory', 'Close other programs or use fewer threads.'],
  EACCES: ['IO_ERROR', 'permission denied', 'Change its permissions or choose another place.'],
  EPERM: ['IO_ERROR', 'operation not permitted', 'Change its permissions or choose another place.'],
  EROFS: ['IO_ERROR', 'the file system is read-only', 'Choose another place.'],
  EISDIR: ['IO_ERROR', 'it is a folder, not a file'],
  ELOOP: ['IO_ERROR', 'its symbolic links form a loop', 'Repair the links.'],
  ENAMETOOLONG: ['IO_ERROR', 'its name is too long for the file system', 'Choose a shorter path.'],
  EMFILE: ['IO_ERROR', 'too many open files', 'Raise the limit of open files (ulimit -n).'],
  ENFILE: ['IO_ERROR', 'too many open files on this machine'],
  EFBIG: ['IO_ERROR', 'the file is too big for the file system or for ulimit -f'],
  EIO: ['IO_ERROR', 'the disk or the network file system reported a fault'],
  ESTALE: ['IO_ERROR', 'the network file system lost the file', 'Try again.'],
}

const memoryCodes = new Set(['ERR_MEMORY_ALLOCATION_FAILED', 'ERR_BUFFER_TOO_LARGE'])

/**
 * Makes a {@link TaskfoldError} of anything that was thrown: Node's errno errors, errors of the native addon (which
 * carry a taskfold code of their own), aborts, failed allocations. Whatever is left is `INTERNAL`.
 *
 * @param thrown - what was caught; a TaskfoldError is given back unchanged
 * @param context - what was being done
 * @returns the typed error, with `thrown` as its cause
 */
export function toTaskfoldError(thrown: unknown, context: ErrorContext = {}): TaskfoldError {
  if (thrown instanceof TaskfoldError) return thrown
  const error: ForeignError = typeof thrown === 'object' && thrown !== null ? thrown : {}
  const text = typeof error.message === 'string' ? error.message : String(thrown)
  const details: ErrorDetails = {
    file: stringOr(error.file, context.file ?? stringOr(error.path, undefined)),
    tensor: stringOr(error.tensor, context.tensor),
    task: stringOr(error.task, context.task),
    index: typeof error.index === 'number' ? error.index : undefined,
    hint: stringOr(error.hint, undefined),
    cause: thrown,
  }
  if (isErrorCode(error.code)) return new TaskfoldError(error.code, text, details)
  if (error.name === 'AbortError' || error.code === 'ABORT_ERR') {
    return new TaskfoldError('CANCELLED', 'cancelled', details)
  }
  const could = `could not ${context.action ?? 'access'} ${details.file ?? 'a file'}`
  if (typeof error.code === 'string') {
    const known = Object.hasOwn(byErrno, error.code) ? byErrno[error.code] : undefined
    if (known) {
      const [code, reason, hint] = known
      return new TaskfoldError(code, `${could}: ${reason}`, { ...details, hint: details.hint ?? hint })
    }
    if (/^E[A-Z0-9]+$/.test(error.code)) return new TaskfoldError('IO_ERROR', `${could}: ${text}`, details)
    if (memoryCodes.has(error.code)) return new TaskfoldError('OUT_OF_MEMORY', `${could}: ${text}`, details)
    // Node refuses paths with NUL characters before it asks the file system.
    if (error.code === 'ERR_INVALID_ARG_VALUE' || error.code === 'ERR_INVALID_ARG_TYPE') {
      return new TaskfoldError('INVALID_ARGUMENT', `${could}: ${text}`, details)
    }
  }
  if (thrown instanceof RangeError && /allocation failed|invalid (typed )?array length/i.test(text)) {
    return new TaskfoldError('OUT_OF_MEMORY', `${could}: ${text}`, details)
  }
  return new TaskfoldError('INTERNAL', `unexpected error: ${text}`, {
    ...details,
    hint: details.hint ?? 'This is a bug in taskfold: please report it with the command that caused it.',
  })
}

function stringOr(value: unknown, otherwise: string | undefined): string | undefined {
  return typeof value === 'string' ? value : otherwise
}
