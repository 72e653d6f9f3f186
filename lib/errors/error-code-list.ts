import type { ErrorCode } from './error-codes.js'

// A record and not a list, so that the compiler refuses a code that was added to the type but not here.
const known: Record<ErrorCode, true> = {
  INVALID_ARGUMENT: true,
  NOT_FOUND: true,
  OUTPUT_EXISTS: true,
  OUTPUT_BUSY: true,
  CANCELLED: true,
  NOT_A_CHECKPOINT: true,
  CONFIG_INVALID: true,
  HEADER_TOO_SHORT: true,
  HEADER_TOO_LARGE: true,
  HEADER_NOT_JSON: true,
  HEADER_INVALID: true,
  DUPLICATE_TENSOR: true,
  UNKNOWN_DTYPE: true,
  TENSOR_SIZE_MISMATCH: true,
  TENSOR_OUT_OF_FILE: true,
  TENSOR_OVERLAP: true,
  TENSOR_GAP: true,
  SIZE_OVERFLOW: true,
  INDEX_INVALID: true,
  SHARD_MISSING: true,
  INDEX_MISMATCH: true,
  ADAPTER_INVALID: true,
  ADAPTER_UNSUPPORTED: true,
  PREFLIGHT_FAILED: true,
  NOTHING_TO_MERGE: true,
  NON_FINITE: true,
  INPUT_CHANGED: true,
  NOT_A_FAMILY: true,
  PACK_VERSION: true,
  PACK_INVALID: true,
  HASH_MISMATCH: true,
  VERIFY_FAILED: true,
  DISK_FULL: true,
  IO_ERROR: true,
  FILE_TRUNCATED: true,
  OUT_OF_MEMORY: true,
  NATIVE_BINDING: true,
  DEVICE_UNAVAILABLE: true,
  INTERNAL: true,
}

/** Every {@link ErrorCode}, in the order of their declaration. */
export const ERROR_CODES = Object.freeze(Object.keys(known)) as readonly ErrorCode[]

/**
 * Whether a value is one of taskfold's codes, and not for example an errno name such as `ENOENT`.
 *
 * @param value - anything
 * @returns true when it is an {@link ErrorCode}
 */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(known, value)
}
