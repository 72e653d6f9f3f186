import type { ErrorCode } from '../errors/error-codes.js'
import type { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'

/** Faults of the family. Anything else (cancelled, out of memory, a failing disk) ends the verification. */
const FAULTS_OF_INPUT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'PACK_INVALID',
  'PACK_VERSION',
  'HASH_MISMATCH',
  'FILE_TRUNCATED',
  'VERIFY_FAILED',
  'NOT_FOUND',
  'HEADER_TOO_SHORT',
  'HEADER_TOO_LARGE',
  'HEADER_NOT_JSON',
  'HEADER_INVALID',
  'DUPLICATE_TENSOR',
  'UNKNOWN_DTYPE',
  'TENSOR_SIZE_MISMATCH',
  'TENSOR_OUT_OF_FILE',
  'TENSOR_OVERLAP',
  'TENSOR_GAP',
  'SIZE_OVERFLOW',
  'INDEX_INVALID',
  'NOT_A_CHECKPOINT',
  'ADAPTER_INVALID',
  'ADAPTER_UNSUPPORTED',
  'NON_FINITE',
])

/**
 * Runs one check and keeps its fault for the report, so that one run shows everything that is wrong.
 *
 * @param problems - list to add to
 * @param check - throws when something is wrong
 * @returns what the check returned; undefined when it found a fault
 * @throws TaskfoldError for faults that are not the family's, such as CANCELLED and IO_ERROR
 */
export async function collectProblems<T>(
  problems: TaskfoldError[],
  check: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await check()
  } catch (error) {
    const known = toTaskfoldError(error)
    if (!FAULTS_OF_INPUT.has(known.code)) throw known
    problems.push(known)
    return undefined
  }
}
