import { join } from 'node:path'
import test from 'ava'
import type { NativeBinding, NativeDeviceSet } from '../../../lib/binding/binding-types.js'
import { openDevice, withDevice } from '../../../lib/binding/choose-device.js'
import type { DeviceOptions, UsedDevice } from '../../../lib/binding/device-choice.js'
import { native } from '../../../lib/binding/load-binding.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { EMULATED_FOLDER, gpuEnvironment } from '../../helpers/fake-gpu.js'

// The addon's part is stood in for; test/device runs it with the emulated GPU.
const linux = process.platform === 'linux' ? test.serial : test.serial.skip
const binding = native() as { -readonly [Name in keyof NativeBinding]: NativeBinding[Name] }
const { openDevices, cudaDriverPresent } = binding
const opened: { devices: number[]; memoryBytes: number | null }[] = []
let closed = 0

function standIn(fault?: { code: string; message: string; hint?: string }): void {
  binding.cudaDriverPresent = () => true
  binding.openDevices = async (options) => {
    if (fault !== undefined) throw Object.assign(new Error(fault.message), fault)
    opened.push(options)
    return { ...options, memoryBytes: 1, close: () => void closed++ } as NativeDeviceSet
  }
}

test.before(() => {
  Object.assign(process.env, gpuEnvironment({ TASKFOLD_EMULATED_DEVICES: '3' }))
  delete process.env.TASKFOLD_CUDA
  delete process.env.CUDA_VISIBLE_DEVICES
})
test.beforeEach(() => {
  opened.length = 0
  closed = 0
  standIn()
})
test.after.always(() => Object.assign(binding, { openDevices, cudaDriverPresent }))

const fails = (options: DeviceOptions) =>
  openDevice(options).then(
    () => undefined,
    (error: unknown) => error as TaskfoldError,
  )

linux('the CPU opens nothing', async (t) => {
  const device = await openDevice({})
  t.like(device, { set: undefined, device: 'cpu', deviceNote: null })
  device.close()
  t.deepEqual(opened, [])
})

linux('GPUs are opened as they were chosen', async (t) => {
  const seen: UsedDevice[] = []
  const onDevice = (used: UsedDevice) => void seen.push(used)
  for (const device of ['cuda', 'auto', 'cuda:2', 'cuda:2,cuda:0'] as const) {
    await withDevice(
      { device, onDevice, gpuMemory: device === 'cuda' ? 2 ** 30 : undefined },
      async ({ set }) => {
        t.truthy(set)
        t.is(closed, opened.length - 1)
      },
    )
  }
  t.deepEqual(opened, [
    { devices: [0, 1, 2], memoryBytes: 2 ** 30 },
    { devices: [0, 1, 2], memoryBytes: null },
    { devices: [2], memoryBytes: null },
    { devices: [2, 0], memoryBytes: null },
  ])
  t.is(closed, 4)
  t.deepEqual(
    seen.map(({ device }) => device),
    ['cuda:0,cuda:1,cuda:2', 'cuda:0,cuda:1,cuda:2', 'cuda:2', 'cuda:2,cuda:0'],
  )
  t.true(seen.every(({ deviceNote }) => deviceNote === null))
})

linux('the device is closed when the work fails', async (t) => {
  const work = async () => {
    throw new TaskfoldError('DISK_FULL', 'full')
  }
  await t.throwsAsync(withDevice({ device: 'cuda' }, work), { code: 'DISK_FULL' })
  t.is(closed, 1)
})

linux('a GPU that is not there', async (t) => {
  const error = await fails({ device: 'cuda:1,cuda:7' })
  t.is(error?.code, 'DEVICE_UNAVAILABLE')
  t.regex(
    error?.message ?? '',
    /^there is no cuda:7: this machine has cuda:0 \(.+\), cuda:1 \(.+\), cuda:2 \(.+\)$/,
  )
  process.env.CUDA_VISIBLE_DEVICES = '0,1,2'
  t.regex((await fails({ device: 'cuda:7' }))?.message ?? '', /counted among CUDA_VISIBLE_DEVICES="0,1,2"$/)
  delete process.env.CUDA_VISIBLE_DEVICES
})

linux('a GPU that does not open: cuda says so, auto falls back', async (t) => {
  const faults = [
    {
      code: 'DEVICE_UNAVAILABLE',
      message: 'cuda:1: merge gives other bits than the CPU',
      hint: 'use --device cpu',
    },
    { code: 'OUT_OF_MEMORY', message: 'cuda:0: 5 bytes of GPU memory are free, at least 7 are needed' },
  ]
  for (const fault of faults) {
    standIn(fault)
    const error = await fails({ device: 'cuda' })
    t.like(error, { code: fault.code, message: fault.message })
    t.is(error?.hint, fault.hint)
    t.like(await openDevice({ device: 'auto' }), {
      set: undefined,
      device: 'cpu',
      deviceNote: `computing on the CPU: ${fault.message}`,
    })
  }
  const message = 'cuda:0: starting the GPU: cudaSetDevice: busy (cudaErrorDevicesUnavailable)'
  standIn({ code: 'DEVICE_UNAVAILABLE', message, hint: 'use --device cpu' })
  t.regex((await fails({ device: 'cuda' }))?.hint ?? '', /exclusive mode/)
})

linux('a fault of taskfold is no reason to fall back', async (t) => {
  standIn({ code: 'INTERNAL', message: 'a bug' })
  t.is((await fails({ device: 'auto' }))?.code, 'INTERNAL')
})

linux('CUDA that does not work: cuda says so, auto falls back', async (t) => {
  const before = process.env.TASKFOLD_CUDA_LIBRARY
  process.env.TASKFOLD_CUDA_LIBRARY = join(EMULATED_FOLDER, 'nowhere.so')
  const error = await fails({ device: 'cuda:0' })
  t.is(error?.code, 'DEVICE_UNAVAILABLE')
  t.regex(error?.message ?? '', /^CUDA cannot be used: CUDA plug-in not found: .*nowhere\.so$/)
  t.regex(error?.hint ?? '', /unset TASKFOLD_CUDA_LIBRARY/)
  const device = await openDevice({ device: 'auto' })
  t.regex(device.deviceNote ?? '', /^computing on the CPU: CUDA plug-in not found: [^\n]*$/)
  t.deepEqual(opened, [])
  process.env.TASKFOLD_CUDA_LIBRARY = before
})
