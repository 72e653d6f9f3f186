import test from 'ava'
import { type CudaMachine, cudaHint, cudaVersionText } from '../../../lib/binding/cuda-hints.js'

const bare: CudaMachine = {
  platform: 'linux',
  arch: 'x64',
  visibleDevices: undefined,
  library: undefined,
  deviceFiles: 'usable',
  container: false,
}
const versions = { driverVersion: 12080, runtimeVersion: 13000 }
const hint = (reason: string, machine: Partial<CudaMachine> = {}) =>
  cudaHint(reason, versions, { ...bare, ...machine })

const NO_DRIVER = 'no NVIDIA driver (libcuda.so.1 was not found)'
const MISSING = 'CUDA plug-in not found: /x/taskfold_cuda.so'
const OTHER = 'CUDA plug-in /x/taskfold_cuda.so has interface version 1, needed is 2'
const CASES: [what: string, reason: string, machine: Partial<CudaMachine>, expected: RegExp][] = [
  ['no driver', NO_DRIVER, { deviceFiles: 'absent' }, /install its driver, version 580 or newer/],
  ['no driver, in a container', NO_DRIVER, { container: true }, /NVIDIA container toolkit/],
  ['a kernel module alone', NO_DRIVER, {}, /its library is not found/],
  [
    'a broken driver library',
    "the NVIDIA driver can't be loaded: libcuda.so.1: invalid ELF header",
    {},
    /its library/,
  ],
  ['no plug-in', MISSING, {}, /--include=optional/],
  ['no plug-in for the machine', MISSING, { arch: 'arm64' }, /published for linux-arm64/],
  ['a plug-in that the user named', MISSING, { library: '/x' }, /unset TASKFOLD_CUDA_LIBRARY/],
  ['another version', OTHER, {}, /reinstall taskfold/],
  ['another version that the user named', OTHER, { library: '/x' }, /TASKFOLD_CUDA_LIBRARY names a file/],
  [
    'too few functions',
    'CUDA plug-in lacks a function: undefined symbol: tf_cuda_merge',
    {},
    /reinstall taskfold/,
  ],
  ['not a plug-in', 'not a taskfold CUDA plug-in: /x', {}, /reinstall taskfold/],
  ['a damaged plug-in', "CUDA plug-in can't be loaded: /x: file too short", {}, /reinstall taskfold/],
  ['no device', 'no CUDA device', {}, /nvidia-smi lists/],
  ['hidden devices', 'no CUDA device', { visibleDevices: '7' }, /CUDA_VISIBLE_DEVICES="7" leaves no GPU/],
  ['all hidden', 'no CUDA device', { visibleDevices: '' }, /CUDA_VISIBLE_DEVICES="" leaves no GPU/],
  [
    'no device files in a container',
    'no CUDA device',
    { deviceFiles: 'absent', container: true },
    /--gpus all/,
  ],
  ['no permission', 'no CUDA device', { deviceFiles: 'denied' }, /read and write \/dev\/nvidia\*/],
  ['turned off', 'turned off by TASKFOLD_CUDA=off', {}, /unset TASKFOLD_CUDA/],
  [
    'a crash',
    'a test process that started CUDA was killed by SIGSEGV (driver fault)',
    {},
    /nvidia-smi works/,
  ],
  ['a hang', 'CUDA did not answer within 30 s', {}, /nvidia-smi works/],
]
for (const [what, reason, machine, expected] of CASES) {
  test(`what helps with ${what}`, (t) => t.regex(hint(reason, machine) ?? '', expected))
}

const ERRORS: [number: number, name: string, expected: RegExp][] = [
  [2, 'cudaErrorMemoryAllocation', /other processes fill the GPU/],
  [3, 'cudaErrorInitializationError', /does not start/],
  [34, 'cudaErrorStubLibrary', /stubs folder/],
  [
    35,
    'cudaErrorInsufficientDriver',
    /driver 580 or newer: taskfold is built with CUDA 13\.0.*CUDA up to 12\.8/,
  ],
  [46, 'cudaErrorDevicesUnavailable', /exclusive mode/],
  [209, 'cudaErrorNoKernelImageForDevice', /compute capability 8\.0/],
  [214, 'cudaErrorECCUncorrectable', /memory has errors/],
  [304, 'cudaErrorOperatingSystem', /does not start/],
  [719, 'cudaErrorLaunchFailure', /Xid/],
  [800, 'cudaErrorNotPermitted', /does not start/],
  [802, 'cudaErrorSystemNotReady', /fabric manager/],
  [803, 'cudaErrorSystemDriverMismatch', /reboot after a driver update/],
  [804, 'cudaErrorCompatNotSupportedOnDevice', /cuda-compat/],
  [999, 'cudaErrorUnknown', /nvidia-uvm/],
]
for (const [number, name, expected] of ERRORS) {
  test(`what helps with ${name}`, (t) => {
    t.regex(hint(`cudaGetDeviceCount: something (${name})`) ?? '', expected)
    t.regex(hint(`cudaGetDeviceCount: something (error ${number})`) ?? '', expected)
    t.regex(
      hint(`CUDA device 3: cudaSetDevice(device): something (${name})`) ?? '',
      /can leave that GPU out$/,
    )
  })
}

test('a driver that may not be used is a question of permission, or of the container', (t) => {
  const reason = 'cudaGetDeviceCount: OS call failed (cudaErrorOperatingSystem)'
  t.regex(hint(reason, { deviceFiles: 'denied', container: true }) ?? '', /let this user read and write/)
  t.regex(hint(reason, { deviceFiles: 'absent', container: true }) ?? '', /container toolkit/)
})

test('an unknown reason has no hint', (t) => t.is(hint('something else'), undefined))

test('versions are written as people know them', (t) => {
  t.deepEqual([0, 11040, 12080, 13000].map(cudaVersionText), [null, '11.4', '12.8', '13.0'])
})
