import type { JobControl } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { withDevice } from '../binding/choose-device.js'
import type { DeviceOptions } from '../binding/device-choice.js'
import type { KernelOptions } from './float-array.js'

/** Options of kernels that can run on a GPU, which is opened for each call: that takes a moment. */
export interface DeviceKernelOptions extends KernelOptions, DeviceOptions {}

/**
 * Runs one native job for a kernel, on the device that its caller chose.
 *
 * @param options - as given to the kernel
 * @param job - starts the job
 * @returns what the job gives
 * @throws TaskfoldError INVALID_ARGUMENT, DEVICE_UNAVAILABLE, CANCELLED, and what the job throws
 */
export async function runKernel<T>(
  options: DeviceKernelOptions,
  job: (control: JobControl) => Promise<T>,
): Promise<T> {
  const { threads, signal } = options
  return await withDevice(options, ({ set }) => callNative(job, { threads, signal, device: set }))
}
