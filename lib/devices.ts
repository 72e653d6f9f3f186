import { native } from './binding/load-binding.js'

/** What a machine computes with. */
export interface Devices {
  /** The CPU. */
  cpu: {
    /** SIMD target in use. */
    simd: string
    /** SIMD targets that this CPU has, best first. */
    simdAvailable: string[]
    /** Threads that are used by default. */
    threads: number
  }
  /** NVIDIA GPUs. */
  cuda: {
    /** True when they can be used. */
    available: boolean
    /** Why not; empty when they can. */
    reason: string
    /** One for each GPU. */
    devices: {
      /** As the driver calls it. */
      name: string
      /** Memory of the GPU in bytes. */
      memoryBytes: number
    }[]
  }
}

/**
 * Tells what this machine computes with: the SIMD target of the CPU, and whether CUDA could be used.
 *
 * @returns the devices
 * @throws TaskfoldError NATIVE_BINDING when the addon cannot be loaded
 */
export function devices(): Devices {
  return { ...native().devices(), cuda: native().probeCuda(false) }
}
