import { TaskfoldError } from '../errors/taskfold-error.js'

/**
 * Where to compute. 'cpu': the CPU. 'auto': all GPUs when CUDA works here, else the CPU, with a note that says why.
 * 'cuda': all GPUs. 'cuda:0', 'cuda:0,cuda:1': these.
 */
export type DeviceChoice = 'cpu' | 'auto' | 'cuda' | `cuda:${string}`

/** Options of calls that can use GPUs. */
export interface DeviceOptions {
  /**
   * Where to compute. Default 'cpu': the CUDA kernels are compared with the CPU's bit for bit without a GPU, but were
   * never run on one yet. 'auto' takes GPUs that work and falls back to the CPU; with 'cuda…' a GPU that can't be used is
   * DEVICE_UNAVAILABLE. What is elementwise (folding, unfolding) gives the same bytes on every device; decompositions
   * (resize, extract) agree to rounding.
   */
  device?: DeviceChoice
  /** Bytes of each GPU's memory to use at most. Default: most of what is free. Only with a `device` that may be a GPU. */
  gpuMemory?: number
  /** Called once, before the work begins. */
  onDevice?: (used: UsedDevice) => void
}

/** Which device a call computes on. */
export interface UsedDevice {
  /** 'cpu', 'cuda:0' or 'cuda:0,cuda:1'. */
  device: string
  /** Why 'auto' fell back to the CPU, as one line; null when nothing is worth saying. */
  deviceNote: string | null
}

/** {@link DeviceOptions} after all checks. */
export type CheckedDevice = { kind: 'cpu' } | { kind: 'auto' } | { kind: 'cuda'; devices: number[] | null }

/** As native/device/device_set.h has it: with less, not every job works. */
const LEAST_GPU_MEMORY = 64 * 2 ** 20

const FORMS =
  "give cpu, auto, cuda (all GPUs), cuda:0, or several as cuda:0,cuda:1; 'taskfold devices' lists them"

/**
 * Checks the options that choose a device.
 *
 * @param options - as given by the caller, trusted in nothing
 * @returns which devices are meant; `devices` null: all of them
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkDevice({ device = 'cpu', gpuMemory, onDevice }: DeviceOptions): CheckedDevice {
  const choice = parseDevice(device)
  if (gpuMemory !== undefined && !(Number.isSafeInteger(gpuMemory) && gpuMemory > 0)) {
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `gpuMemory must be a whole number of bytes, got ${String(gpuMemory)}`,
      { hint: 'for instance 8 * 2 ** 30; on the command line --gpu-memory 8G' },
    )
  }
  if (gpuMemory !== undefined && gpuMemory < LEAST_GPU_MEMORY) {
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `gpuMemory must be at least ${LEAST_GPU_MEMORY} bytes (64 MiB), got ${gpuMemory}`,
      { hint: 'give more, on the command line --gpu-memory 64M or more, or leave it out' },
    )
  }
  if (gpuMemory !== undefined && choice.kind === 'cpu') {
    throw new TaskfoldError('INVALID_ARGUMENT', 'gpuMemory needs a device that may be a GPU', {
      hint: 'give device auto or cuda too (--device auto)',
    })
  }
  if (onDevice !== undefined && typeof onDevice !== 'function')
    throw new TaskfoldError('INVALID_ARGUMENT', 'onDevice must be a function')
  return choice
}

function parseDevice(device: unknown): CheckedDevice {
  if (device === 'cpu' || device === 'auto') return { kind: device }
  if (device === 'cuda') return { kind: 'cuda', devices: null }
  const names = typeof device === 'string' ? device.split(',') : []
  const numbers = names.map((name) => /^cuda:(\d{1,4})$/.exec(name)?.[1]).map(Number)
  if (numbers.length === 0 || numbers.some(Number.isNaN)) {
    const shown = typeof device === 'string' ? JSON.stringify(device.slice(0, 80)) : String(device)
    throw new TaskfoldError('INVALID_ARGUMENT', `device ${shown} is not a device`, { hint: FORMS })
  }
  if (new Set(numbers).size !== numbers.length) {
    throw new TaskfoldError('INVALID_ARGUMENT', `device ${JSON.stringify(device)} names a GPU twice`, {
      hint: FORMS,
    })
  }
  return { kind: 'cuda', devices: numbers }
}
