import type { ErrorCode } from './error-codes.js'

/** Facts about the fault, for programs. Every field is optional. */
export interface ErrorDetails {
  /** Path of the file or folder at fault. */
  file?: string
  /** Name of the tensor at fault. */
  tensor?: string
  /** Name of the task at fault. */
  task?: string
  /** Flat index of the element at fault, row-major. */
  index?: number
  /** What to do about it, as one sentence. */
  hint?: string
  /** All problems, when one pass found several (`PREFLIGHT_FAILED`, `VERIFY_FAILED`). */
  problems?: TaskfoldError[]
  /** The error underneath. */
  cause?: unknown
}

/**
 * The only error class that taskfold throws. `code` is stable; `message` names file, tensor and value and is one line.
 */
export class TaskfoldError extends Error {
  /** Stable machine-readable reason. */
  readonly code: ErrorCode
  /** Path of the file or folder at fault. */
  readonly file?: string
  /** Name of the tensor at fault. */
  readonly tensor?: string
  /** Name of the task at fault. */
  readonly task?: string
  /** Flat index of the element at fault, row-major. */
  readonly index?: number
  /** What to do about it. */
  readonly hint?: string
  /** All problems, when one pass found several. */
  readonly problems?: readonly TaskfoldError[]

  /**
   * @param code - stable reason
   * @param message - one line that names the file, the tensor and the value at fault
   * @param details - the same facts for programs, and a hint
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'TaskfoldError'
    this.code = code
    this.file = details.file
    this.tensor = details.tensor
    this.task = details.task
    this.index = details.index
    this.hint = details.hint
    this.problems = details.problems
  }
}
