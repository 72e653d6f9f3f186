import { TaskfoldError } from '../errors/taskfold-error.js'

/** Where a fault lies, and what to do about it. */
export interface AdapterFaultPlace {
  /** Path of the file or folder. */
  file: string
  /** Tensor at fault. */
  tensor?: string
  /** What to do. */
  hint?: string
  /** The error underneath. */
  cause?: unknown
}

/**
 * Error for an adapter whose parts contradict each other or the format.
 *
 * @param place - file, tensor, hint
 * @param reason - what is wrong, to be read after "file: "
 * @returns the error, to be thrown
 */
export function adapterInvalid(place: AdapterFaultPlace, reason: string): TaskfoldError {
  const hint = place.hint ?? 'Save the adapter again, or fetch it again.'
  return new TaskfoldError('ADAPTER_INVALID', `${place.file}: ${reason}`, { ...place, hint })
}

/**
 * Error for an adapter that is fine, but of a kind that would come out wrong.
 *
 * @param place - file, tensor, hint
 * @param reason - what is not supported, to be read after "file: "
 * @returns the error, to be thrown
 */
export function adapterUnsupported(place: AdapterFaultPlace, reason: string): TaskfoldError {
  return new TaskfoldError('ADAPTER_UNSUPPORTED', `${place.file}: ${reason}`, { ...place })
}
