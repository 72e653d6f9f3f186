import { native } from '../binding/load-binding.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { type DeviceKernelOptions, runKernel } from './run-kernel.js'

/**
 * The fingerprint that families use (docs/FORMAT.md): 128 bits, fast, not meant against forgery.
 *
 * @param bytes - any bytes
 * @param options - threads, signal, device
 * @returns 32 hex digits
 * @throws TaskfoldError INVALID_ARGUMENT, CANCELLED, DEVICE_UNAVAILABLE
 */
export async function fingerprint(bytes: Uint8Array, options: DeviceKernelOptions = {}): Promise<string> {
  if (!(bytes instanceof Uint8Array))
    throw new TaskfoldError('INVALID_ARGUMENT', 'bytes must be a Uint8Array')
  const [found] = await runKernel(options, (control) =>
    native().fingerprintRegions({ regions: [bytes] }, control),
  )
  return found!
}
