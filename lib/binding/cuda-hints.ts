import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** What {@link cudaHint} needs to know about the machine; given by tests, looked up otherwise. */
export interface CudaMachine {
  platform: string
  arch: string
  /** CUDA_VISIBLE_DEVICES, when it is set. */
  visibleDevices: string | undefined
  /** TASKFOLD_CUDA_LIBRARY, when it is set. */
  library: string | undefined
  /** /dev/nvidia*: there are none, this user may not use one of them, or all is well. */
  deviceFiles: 'absent' | 'denied' | 'usable'
  /** True inside a container. */
  container: boolean
}

/** CUDA versions as the addon tells them, 1000 · major + 10 · minor. */
export interface CudaVersions {
  driverVersion: number
  runtimeVersion: number
}

/** NVIDIA's rule: the oldest driver series that runs programs of a CUDA release. */
const OLDEST_DRIVER: Readonly<Record<number, number>> = { 12: 525, 13: 580 }

const TOOLKIT =
  'if the host has an NVIDIA GPU, install the NVIDIA container toolkit there and start the container with --gpus all (Docker) or --device nvidia.com/gpu=all (Podman)'
const FAULT =
  'look for Xid messages in dmesg and at nvidia-smi; resetting the GPU (nvidia-smi --gpu-reset) or rebooting often helps'

type Hint = string | ((machine: CudaMachine, versions: CudaVersions) => string)

/** Number and name of CUDA's errors, either of which may stand in a reason, and what helps. */
const BY_ERROR: readonly [number: number, name: string, hint: Hint][] = [
  [
    2,
    'cudaErrorMemoryAllocation',
    'other processes fill the GPU: nvidia-smi shows them; wait, or take another GPU',
  ],
  [3, 'cudaErrorInitializationError', permission],
  [
    34,
    'cudaErrorStubLibrary',
    "remove the CUDA toolkit's stubs folder from LD_LIBRARY_PATH, so that the driver's libcuda.so.1 is found",
  ],
  [35, 'cudaErrorInsufficientDriver', olderDriver],
  [
    46,
    'cudaErrorDevicesUnavailable',
    'another process holds the GPU in exclusive mode: nvidia-smi shows it; wait, or set the mode back with nvidia-smi -c DEFAULT',
  ],
  [100, 'cudaErrorNoDevice', noDevice],
  [
    209,
    'cudaErrorNoKernelImageForDevice',
    'this build has no code for that GPU: compute capability 8.0 or newer is needed',
  ],
  [214, 'cudaErrorECCUncorrectable', `the GPU's memory has errors: ${FAULT}`],
  [304, 'cudaErrorOperatingSystem', permission],
  [719, 'cudaErrorLaunchFailure', FAULT],
  [800, 'cudaErrorNotPermitted', permission],
  [802, 'cudaErrorSystemNotReady', 'start the NVIDIA fabric manager (systemctl start nvidia-fabricmanager)'],
  [
    803,
    'cudaErrorSystemDriverMismatch',
    "the driver's library and its kernel module are of different versions: reboot after a driver update; in a container, use the host's library",
  ],
  [
    804,
    'cudaErrorCompatNotSupportedOnDevice',
    'take the cuda-compat folder out of LD_LIBRARY_PATH: this GPU does not support it',
  ],
  [
    999,
    'cudaErrorUnknown',
    `the driver is not fully loaded, or the GPU fell off: run nvidia-smi, load nvidia-uvm (modprobe nvidia-uvm); ${FAULT}`,
  ],
]

const BY_REASON: readonly [pattern: RegExp, hint: Hint][] = [
  [/TASKFOLD_CUDA=/, 'unset TASKFOLD_CUDA to use GPUs'],
  [/no NVIDIA driver|NVIDIA driver can't be loaded/, noDriver],
  [/on Linux only/, 'use the CPU'],
  [/plug-in not found|no CUDA plug-in is configured/, noPlugIn],
  [/not a taskfold CUDA plug-in|interface version|lacks a function|plug-in can't be loaded/, otherPlugIn],
  [/no CUDA device/, noDevice],
  [
    /was killed by|did not answer/,
    'see whether nvidia-smi works; update or reinstall the NVIDIA driver; TASKFOLD_CUDA=off skips CUDA',
  ],
]

/**
 * What to do about a reason why CUDA cannot be used.
 *
 * @param reason - as the addon or the probe says it
 * @param versions - of driver and runtime, 0 when not known
 * @param machine - facts that decide which advice fits
 * @returns one sentence; undefined when there is nothing to say
 */
export function cudaHint(
  reason: string,
  versions: CudaVersions = { driverVersion: 0, runtimeVersion: 0 },
  machine: CudaMachine = thisCudaMachine(),
): string | undefined {
  const byError = BY_ERROR.find(
    ([number, name]) => reason.includes(`(${name})`) || reason.includes(`(error ${number})`),
  )
  const hint = byError?.[2] ?? BY_REASON.find(([pattern]) => pattern.test(reason))?.[1]
  const text = typeof hint === 'function' ? hint(machine, versions) : hint
  // One faulty GPU of several stops all of them.
  const single = /^CUDA device \d+: /.test(reason)
  return single && text !== undefined ? `${text}; CUDA_VISIBLE_DEVICES can leave that GPU out` : text
}

/**
 * A CUDA version as people write it.
 *
 * @param version - 1000 · major + 10 · minor
 * @returns for instance '13.0'; null for 0, which is not known
 */
export function cudaVersionText(version: number): string | null {
  return version === 0 ? null : `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`
}

function noDriver({ container, deviceFiles }: CudaMachine): string {
  if (container) return TOOLKIT
  if (deviceFiles !== 'absent')
    return "the driver's kernel module is loaded, its library is not found: install libcuda.so.1 of the same version (Debian: libcuda1) or add its folder to LD_LIBRARY_PATH"
  return `if this machine has an NVIDIA GPU, install its driver, version ${OLDEST_DRIVER[13]} or newer`
}

function olderDriver(_: CudaMachine, { driverVersion, runtimeVersion }: CudaVersions): string {
  const needed = OLDEST_DRIVER[Math.floor(runtimeVersion / 1000)] ?? OLDEST_DRIVER[13]
  const driver = cudaVersionText(driverVersion)
  const knows = driver === null ? '' : `, and this driver knows CUDA up to ${driver}`
  return `install NVIDIA driver ${needed} or newer: taskfold is built with CUDA ${cudaVersionText(runtimeVersion) ?? '13.0'}${knows}`
}

function permission({ deviceFiles, container }: CudaMachine): string {
  if (deviceFiles === 'denied') {
    return 'let this user read and write /dev/nvidia* (often: join the group video or render)'
  }
  if (container) return TOOLKIT
  return `the driver does not start: see what nvidia-smi says; ${FAULT}`
}

function noDevice(machine: CudaMachine): string {
  const { visibleDevices, deviceFiles, container } = machine
  if (visibleDevices !== undefined)
    return `CUDA_VISIBLE_DEVICES=${JSON.stringify(visibleDevices)} leaves no GPU to see: unset it or change it`
  if (deviceFiles === 'denied') return permission(machine)
  if (container) return TOOLKIT
  return 'nvidia-smi lists the GPUs that the driver sees'
}

function noPlugIn({ platform, arch, library }: CudaMachine): string {
  if (library !== undefined) return 'unset TASKFOLD_CUDA_LIBRARY, or let it name a taskfold_cuda.so'
  if (platform === 'linux' && arch === 'x64') {
    return 'reinstall taskfold with its optional packages (npm install --include=optional), or build it in a clone where nvcc is (npm run build:native)'
  }
  return `no CUDA plug-in is published for ${platform}-${arch}: build it in a clone where nvcc is (npm run build:native)`
}

function otherPlugIn({ library }: CudaMachine): string {
  if (library !== undefined)
    return 'TASKFOLD_CUDA_LIBRARY names a file that does not fit this version: unset it'
  return 'plug-in and addon are of different versions or damaged: reinstall taskfold, or npm run build:native in a clone'
}

/**
 * Looks the facts up.
 *
 * @returns what this machine is
 */
export function thisCudaMachine(): CudaMachine {
  return {
    platform: process.platform,
    arch: process.arch,
    visibleDevices: process.env.CUDA_VISIBLE_DEVICES,
    library: process.env.TASKFOLD_CUDA_LIBRARY || undefined,
    deviceFiles: deviceFiles('/dev'),
    container: existsSync('/.dockerenv') || existsSync('/run/.containerenv'),
  }
}

function deviceFiles(folder: string): CudaMachine['deviceFiles'] {
  try {
    const names = readdirSync(folder).filter((name) => /^nvidia(\d+|ctl|-uvm)$/.test(name))
    if (names.length === 0) return 'absent'
    for (const name of names) accessSync(join(folder, name), constants.R_OK | constants.W_OK)
    return 'usable'
  } catch {
    return 'denied'
  }
}
