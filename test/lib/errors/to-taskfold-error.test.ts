import { readFile } from 'node:fs/promises'
import test from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { toTaskfoldError } from '../../../lib/errors/to-taskfold-error.js'

const errno = (code: string) =>
  Object.assign(new Error(`${code}: it failed, open '/a/b'`), { code, path: '/a/b' })

const mapped = [
  ['ENOENT', 'NOT_FOUND'],
  ['ENOTDIR', 'NOT_FOUND'],
  ['ENOSPC', 'DISK_FULL'],
  ['EDQUOT', 'DISK_FULL'],
  ['ENOMEM', 'OUT_OF_MEMORY'],
  ['EACCES', 'IO_ERROR'],
  ['EPERM', 'IO_ERROR'],
  ['EROFS', 'IO_ERROR'],
  ['EISDIR', 'IO_ERROR'],
  ['EMFILE', 'IO_ERROR'],
  ['EIO', 'IO_ERROR'],
  ['EXDEV', 'IO_ERROR'],
  ['ERR_INVALID_ARG_VALUE', 'INVALID_ARGUMENT'],
  ['ERR_MEMORY_ALLOCATION_FAILED', 'OUT_OF_MEMORY'],
  ['ERR_SOMETHING_ELSE', 'INTERNAL'],
  ['constructor', 'INTERNAL'],
] as const

for (const [code, expected] of mapped) {
  test(`${code} becomes ${expected}`, (t) => {
    const cause = errno(code)
    const error = toTaskfoldError(cause, { action: 'read' })
    t.true(error instanceof TaskfoldError)
    t.is(error.code, expected)
    t.is(error.file, '/a/b')
    t.is(error.cause, cause)
    t.false(error.message.includes('\n'))
    if (expected !== 'INTERNAL') t.true(error.message.startsWith('could not read /a/b: '))
  })
}

test('the context names the file rather than the errno does', (t) => {
  const error = toTaskfoldError(errno('ENOENT'), { file: '/model', tensor: 'w', task: 'digits' })
  t.is(error.file, '/model')
  t.is(error.tensor, 'w')
  t.is(error.task, 'digits')
  t.is(error.message, 'could not access /model: no such file or folder')
})

test('a native error keeps its own code and facts', (t) => {
  const native = Object.assign(new Error('NaN in w at 7'), {
    code: 'NON_FINITE',
    tensor: 'w',
    index: 7,
    file: '/m.safetensors',
    hint: 'clean it',
  })
  const error = toTaskfoldError(native, { file: '/other', task: 'digits' })
  t.like(error, { code: 'NON_FINITE', message: 'NaN in w at 7', tensor: 'w', index: 7, hint: 'clean it' })
  t.is(error.file, '/m.safetensors')
  t.is(error.task, 'digits')
})

test('a TaskfoldError is given back as it is', (t) => {
  const error = new TaskfoldError('NOT_FOUND', 'x')
  t.is(toTaskfoldError(error, { file: '/y' }), error)
})

test('aborts become CANCELLED', (t) => {
  t.is(toTaskfoldError(new DOMException('stop', 'AbortError')).code, 'CANCELLED')
  t.is(toTaskfoldError(Object.assign(new Error('stop'), { code: 'ABORT_ERR' })).code, 'CANCELLED')
})

test('failed allocations become OUT_OF_MEMORY', (t) => {
  const thrown = t.throws(() => new Uint8Array(2 ** 52), { instanceOf: RangeError })
  t.is(toTaskfoldError(thrown).code, 'OUT_OF_MEMORY')
  t.is(toTaskfoldError(new RangeError('Array buffer allocation failed')).code, 'OUT_OF_MEMORY')
  t.is(toTaskfoldError(new RangeError('index out of range')).code, 'INTERNAL')
})

test('anything else is INTERNAL with a request to report it', (t) => {
  for (const thrown of [new Error('bug'), 'text', 7, null, undefined, {}, [], Symbol('s')]) {
    const error = toTaskfoldError(thrown)
    t.is(error.code, 'INTERNAL')
    t.regex(error.hint ?? '', /report/)
  }
})

test('errors of Node itself are understood', async (t) => {
  const missing = await t.throwsAsync(readFile('/no/such/file'))
  t.is(toTaskfoldError(missing).code, 'NOT_FOUND')
  const nul = await t.throwsAsync(readFile('a\0b'))
  t.is(toTaskfoldError(nul).code, 'INVALID_ARGUMENT')
})
