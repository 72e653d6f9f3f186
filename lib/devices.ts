import { cudaHint, cudaVersionText } from './binding/cuda-hints.js'
import { native } from './binding/load-binding.js'
import { probeCuda } from './binding/probe-cuda.js'

/** One NVIDIA GPU. */
export interface CudaDevice {
  /** As `device` takes it: 'cuda:0'. */
  id: string
  /** As the driver calls it. */
  name: string
  /** Where it sits, such as '0000:65:00.0'. */
  busId: string
  /** Such as '9.0'. */
  computeCapability: string
  /** Number of multiprocessors. */
  multiprocessors: number
  /** Memory of the GPU in bytes. */
  memoryBytes: number
  /** Of it free when CUDA was first tried in this process. */
  freeBytes: number
}

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
    /** Why not, as one sentence; empty when they can. */
    reason: string
    /** What helps; null when nothing is known to, or nothing is wrong. */
    hint: string | null
    /** Newest CUDA version that the driver knows, such as '13.0'; null: not known. */
    driverVersion: string | null
    /** CUDA version that taskfold's plug-in is built with; null: there is none, or it was not opened. */
    runtimeVersion: string | null
    /** One for each GPU. */
    devices: CudaDevice[]
  }
}

/**
 * Tells what this machine computes with: the SIMD target of the CPU, and whether CUDA works, or why it does not. Where a
 * driver is, the first call tries it in a child process, which takes a second or more; its answer is kept.
 *
 * @returns the devices
 * @throws TaskfoldError NATIVE_BINDING when the addon cannot be loaded
 */
export function devices(): Devices {
  const { cpu } = native().devices()
  const cuda = probeCuda()
  return {
    cpu,
    cuda: {
      available: cuda.available,
      reason: cuda.reason,
      hint: cuda.available ? null : (cudaHint(cuda.reason, cuda) ?? null),
      driverVersion: cudaVersionText(cuda.driverVersion),
      runtimeVersion: cudaVersionText(cuda.runtimeVersion),
      devices: cuda.devices.map(({ index, ...device }) => ({ id: `cuda:${index}`, ...device })),
    },
  }
}
