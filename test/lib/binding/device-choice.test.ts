import test from 'ava'
import { checkDevice, type DeviceChoice } from '../../../lib/binding/device-choice.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'

test('every form of a device is understood', (t) => {
  t.deepEqual(checkDevice({}), { kind: 'cpu' })
  t.deepEqual(checkDevice({ device: 'cpu' }), { kind: 'cpu' })
  t.deepEqual(checkDevice({ device: 'auto', gpuMemory: 2 ** 30 }), { kind: 'auto' })
  t.deepEqual(checkDevice({ device: 'cuda' }), { kind: 'cuda', devices: null })
  t.deepEqual(checkDevice({ device: 'cuda:0' }), { kind: 'cuda', devices: [0] })
  t.deepEqual(checkDevice({ device: 'cuda:2,cuda:0' }), { kind: 'cuda', devices: [2, 0] })
})

const WRONG = [
  '',
  'gpu',
  'CUDA',
  'cuda:',
  'cuda:-1',
  'cuda:0x1',
  'cuda:0,',
  'cuda:0,1',
  'cpu,cuda:0',
  'cuda:99999',
  ' cuda',
]

for (const device of [...WRONG, null, 7, ['cuda:0'], {}]) {
  test(`refused: device ${JSON.stringify(device)}`, (t) => {
    const error = t.throws(() => checkDevice({ device: device as DeviceChoice }), {
      instanceOf: TaskfoldError,
    })
    t.is(error.code, 'INVALID_ARGUMENT')
    t.regex(
      error.message,
      typeof device === 'string' ? new RegExp(`device ${JSON.stringify(device)}`) : /^device /,
    )
    for (const form of ['cpu', 'auto', 'cuda:0,cuda:1']) t.true(error.hint?.includes(form))
  })
}

test('a GPU named twice is refused', (t) => {
  t.throws(() => checkDevice({ device: 'cuda:1,cuda:1' }), { message: /"cuda:1,cuda:1" names a GPU twice/ })
})

test('gpuMemory is a number of bytes, at least the least, and for GPUs only', (t) => {
  for (const gpuMemory of [0, -1, 1.5, Number.NaN, '8G' as unknown as number]) {
    t.throws(() => checkDevice({ device: 'cuda', gpuMemory }), {
      message: /gpuMemory must be a whole number/,
    })
  }
  t.throws(() => checkDevice({ device: 'auto', gpuMemory: 2 ** 20 }), {
    message: 'gpuMemory must be at least 67108864 bytes (64 MiB), got 1048576',
  })
  t.throws(() => checkDevice({ gpuMemory: 2 ** 30 }), { message: /gpuMemory needs a device/ })
  t.throws(() => checkDevice({ onDevice: 1 as never }), { message: /onDevice must be a function/ })
})
