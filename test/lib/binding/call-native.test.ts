import test from 'ava'
import { callNative, mapNativeError } from '../../../lib/binding/call-native.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'

test('gives threads and progress to the job and its result back', async (t) => {
  const onProgress = () => undefined
  const control = await callNative(async (given) => given, { threads: 3, onProgress })
  t.deepEqual(control, { threads: 3, onProgress })
})

test('a signal that fired before keeps the job from starting', async (t) => {
  const signal = AbortSignal.abort()
  await t.throwsAsync(
    callNative(async () => t.fail(), { signal }),
    { code: 'CANCELLED' },
  )
})

test('a signal that fires cancels the job, and listeners are removed', async (t) => {
  const controller = new AbortController()
  const call = callNative(
    (control) =>
      new Promise((_, reject) => {
        const token = control.cancel!
        t.is(typeof token.cancel, 'function')
        setTimeout(() => reject(Object.assign(new Error('stopped'), { code: 'CANCELLED' })), 5)
      }),
    { signal: controller.signal },
  )
  controller.abort(new Error('enough'))
  const error = await t.throwsAsync(call, { instanceOf: TaskfoldError, code: 'CANCELLED' })
  t.is((error!.cause as Error).message, 'enough')
})

test('native errors get the file and task of their operand', (t) => {
  const native = Object.assign(new Error('w: NaN at 7'), {
    code: 'NON_FINITE',
    tensor: 'w',
    index: 7,
    operand: 1,
  })
  const operand = (which: string | number, tensor?: string) => ({ file: `/${which}/${tensor}`, task: 'cars' })
  const error = mapNativeError(native, { operand })
  t.deepEqual(
    { code: error.code, file: error.file, task: error.task, tensor: error.tensor, index: error.index },
    { code: 'NON_FINITE', file: '/1/w', task: 'cars', tensor: 'w', index: 7 },
  )
  t.is(error.message, '/1/w: w: NaN at 7')
})

test('the file that native code names comes before that of the call', (t) => {
  const native = Object.assign(new Error('short'), {
    code: 'FILE_TRUNCATED',
    file: '/a',
    tensor: '',
    hint: 'copy again',
  })
  const error = mapNativeError(native, { file: '/b', task: 'x' })
  t.deepEqual([error.file, error.task, error.tensor, error.hint], ['/a', 'x', undefined, 'copy again'])
})

test('errors without a code of ours are mapped as Node’s are', (t) => {
  t.is(mapNativeError(Object.assign(new Error('x'), { code: 'ENOSPC' })).code, 'DISK_FULL')
  t.is(mapNativeError(new Error('x')).code, 'INTERNAL')
  t.is(mapNativeError('x').code, 'INTERNAL')
  const own = new TaskfoldError('IO_ERROR', 'x')
  t.is(mapNativeError(own), own)
})
