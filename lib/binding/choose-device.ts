import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import type { NativeCuda, NativeDeviceSet } from './binding-types.js'
import { mapNativeError } from './call-native.js'
import { cudaHint } from './cuda-hints.js'
import { type CheckedDevice, checkDevice, type DeviceOptions, type UsedDevice } from './device-choice.js'
import { native } from './load-binding.js'
import { probeCudaAsync } from './probe-cuda.js'

/** The device of one call, opened. */
export interface OpenedDevice extends UsedDevice {
  /** For {@link CallOptions.device}; undefined: the CPU. */
  set: NativeDeviceSet | undefined
  /** Gives memory and streams back. Idempotent. */
  close(): void
}

/** The caller's choice, and its signal. */
type OpenOptions = DeviceOptions & { signal?: AbortSignal }

/**
 * Opens the device that a caller chose.
 *
 * @param options - device, gpuMemory, signal; `onDevice` is called
 * @returns the opened device, to be closed
 * @throws TaskfoldError INVALID_ARGUMENT, DEVICE_UNAVAILABLE, OUT_OF_MEMORY, CANCELLED; 'auto' falls back for the second and third
 */
export async function openDevice(options: OpenOptions): Promise<OpenedDevice> {
  const choice = checkDevice(options)
  const opened = choice.kind === 'cpu' ? onCpu(null) : await openCuda(choice, options)
  options.onDevice?.({ device: opened.device, deviceNote: opened.deviceNote })
  return opened
}

/**
 * Runs work on the device that a caller chose, and closes it afterwards.
 *
 * @param options - device, gpuMemory, onDevice, signal
 * @param work - what to do with it
 * @returns what the work gives
 * @throws TaskfoldError as {@link openDevice}, and what the work throws
 */
export async function withDevice<T>(
  options: OpenOptions,
  work: (device: OpenedDevice) => Promise<T>,
): Promise<T> {
  const device = await openDevice(options)
  try {
    return await work(device)
  } finally {
    device.close()
  }
}

async function openCuda(
  choice: Exclude<CheckedDevice, { kind: 'cpu' }>,
  { gpuMemory, signal }: OpenOptions,
): Promise<OpenedDevice> {
  const cuda = await probeCudaAsync()
  // Ctrl-C on a terminal ends the probe's process too.
  throwIfAborted(signal)
  const auto = choice.kind === 'auto'
  if (!cuda.available) {
    if (auto) return fallBack(cuda.reason)
    throw unavailable(cuda)
  }
  const devices = (auto ? null : choice.devices) ?? cuda.devices.map(({ index }) => index)
  for (const number of devices) {
    if (!cuda.devices.some(({ index }) => index === number)) throw absent(number, cuda)
  }
  try {
    const set = await native().openDevices({ devices, memoryBytes: gpuMemory ?? null })
    const device = set.devices.map((number) => `cuda:${number}`).join(',')
    return { set, device, deviceNote: null, close: () => set.close() }
  } catch (error) {
    const { code, message, hint } = mapNativeError(error)
    if (auto && (code === 'DEVICE_UNAVAILABLE' || code === 'OUT_OF_MEMORY')) return fallBack(message)
    // What CUDA itself said leads to better advice than what native code knows.
    throw new TaskfoldError(code, message, { hint: cudaHint(message, cuda) ?? hint, cause: error })
  }
}

const ON_CPU = 'compute on the CPU instead: leave the device out, or give cpu'

function fallBack(reason: string): OpenedDevice {
  return onCpu(`computing on the CPU: ${reason}`)
}

function unavailable(cuda: NativeCuda): TaskfoldError {
  return new TaskfoldError('DEVICE_UNAVAILABLE', `CUDA cannot be used: ${cuda.reason}`, {
    hint: cudaHint(cuda.reason, cuda) ?? ON_CPU,
  })
}

function absent(number: number, { devices }: NativeCuda): TaskfoldError {
  const list = devices.map(({ index, name }) => `cuda:${index} (${name})`).join(', ')
  const visible = process.env.CUDA_VISIBLE_DEVICES
  const counted =
    visible === undefined ? '' : `, counted among CUDA_VISIBLE_DEVICES=${JSON.stringify(visible)}`
  return new TaskfoldError(
    'DEVICE_UNAVAILABLE',
    `there is no cuda:${number}: this machine has ${list}${counted}`,
    {
      hint: "give one of these; 'taskfold devices' says more about them",
    },
  )
}

function onCpu(deviceNote: string | null): OpenedDevice {
  return { set: undefined, device: 'cpu', deviceNote, close() {} }
}
