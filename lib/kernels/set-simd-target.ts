import { mapNativeError } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'

/**
 * Forces a SIMD target for the whole process. The results never depend on it; tests and benchmarks use it.
 *
 * @param name - one of `devices().cpu.simdAvailable`
 * @throws TaskfoldError INVALID_ARGUMENT when this machine lacks it
 */
export function setSimdTarget(name: string): void {
  try {
    native().setSimdTarget(name)
  } catch (error) {
    throw mapNativeError(error)
  }
}
