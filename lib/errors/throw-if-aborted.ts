import { TaskfoldError } from './taskfold-error.js'

/**
 * Ends the current work when its caller no longer wants it.
 *
 * @param signal - the caller's signal, if there is one
 * @throws TaskfoldError CANCELLED when the signal has fired; its `cause` is the signal's reason
 */
export function throwIfAborted(signal: AbortSignal | null | undefined): void {
  if (signal?.aborted) throw new TaskfoldError('CANCELLED', 'cancelled', { cause: signal.reason })
}
