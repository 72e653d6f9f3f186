import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { KernelOptions } from './float-array.js'

/**
 * The fingerprint that families use (docs/FORMAT.md): 128 bits, fast, not meant against forgery.
 *
 * @param bytes - any bytes
 * @param options - threads and signal
 * @returns 32 hex digits
 * @throws TaskfoldError INVALID_ARGUMENT, CANCELLED
 */
export async function fingerprint(bytes: Uint8Array, options: KernelOptions = {}): Promise<string> {
  if (!(bytes instanceof Uint8Array))
    throw new TaskfoldError('INVALID_ARGUMENT', 'bytes must be a Uint8Array')
  const [found] = await callNative(
    (control) => native().fingerprintRegions({ regions: [bytes] }, control),
    options,
  )
  return found!
}
