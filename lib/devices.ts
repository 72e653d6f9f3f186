import type { NativeDevices } from './binding/binding-types.js'
import { native } from './binding/load-binding.js'

/**
 * Tells what this machine computes with: the SIMD target of the CPU, and whether CUDA could be used.
 *
 * @returns the devices
 * @throws TaskfoldError NATIVE_BINDING when the addon cannot be loaded
 */
export function devices(): NativeDevices {
  return native().devices()
}
