/** Typed mirror of the part of native/addon that is about the machine: its CPU and GPUs. */

/** Opened GPUs with their streams, buffers and pinned memory. Jobs that run keep it alive. */
export interface NativeDeviceSet {
  /** Numbers of the devices. */
  readonly devices: number[]
  /** Device memory that jobs use at most, a device. */
  readonly memoryBytes: number
  /** Gives streams and memory back once no job uses them. Idempotent. */
  close(): void
}

/** What is known of CUDA. */
export interface NativeCuda {
  available: boolean
  /** One sentence; empty when available. */
  reason: string
  /** 1000 · major + 10 · minor; 0: not known. */
  driverVersion: number
  runtimeVersion: number
  devices: NativeCudaDevice[]
}

export interface NativeCudaDevice {
  index: number
  name: string
  busId: string
  memoryBytes: number
  /** 0 when the devices were not started to ask. */
  freeBytes: number
  /** "9.0" */
  computeCapability: string
  multiprocessors: number
}

export interface NativeDevices {
  cpu: { simd: string; simdAvailable: string[]; threads: number }
}

/** Exports of taskfold.node about the machine. */
export interface DeviceBinding {
  devices(): NativeDevices
  /** Opens the CUDA plug-in and lists devices, in this process. `start`: starts each one as well. */
  probeCuda(start: boolean): NativeCuda
  /** Loads libcuda.so.1, and calls nothing of it. */
  cudaDriverPresent(): boolean
  /**
   * Opens GPUs, and compares every elementwise kernel with the CPU on each once. memoryBytes null: most of what is free.
   * Rejects with DEVICE_UNAVAILABLE (no such device, other bits than the CPU) or OUT_OF_MEMORY.
   */
  openDevices(options: { devices: number[]; memoryBytes: number | null }): Promise<NativeDeviceSet>
  /** Forces a SIMD target for the whole process (tests). Throws INVALID_ARGUMENT when the machine lacks it. */
  setSimdTarget(name: string): void
  /** Told by lib/native.cjs where the CUDA plug-in lies. */
  setCudaLibrary(path: string): void
}
