import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { freeBytes } from '../../../lib/io/disk-space.js'
import { openInput } from '../../../lib/io/open-input.js'
import { readRange } from '../../../lib/io/read-range.js'
import { readSmallFile } from '../../../lib/io/read-small-file.js'
import { tempFolder } from '../../helpers/temp-folder.js'

test('reads ranges at any position, over several chunks', async (t) => {
  const file = join(tempFolder(t), 'data')
  const bytes = Buffer.alloc(20 * 1024 * 1024)
  for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE(i, i)
  writeFileSync(file, bytes)
  const { handle, stats } = await openInput(file)
  t.teardown(() => handle.close())
  t.is(stats.size, bytes.length)
  for (const [offset, length] of [
    [0, 0],
    [bytes.length, 0],
    [3, 5],
    [1, bytes.length - 2],
  ] as const) {
    const read = await readRange(handle, offset, length, { file })
    t.is(Buffer.compare(read, bytes.subarray(offset, offset + length)), 0)
  }
})

test('a file that ends early is FILE_TRUNCATED', async (t) => {
  const file = join(tempFolder(t), 'data')
  writeFileSync(file, Buffer.alloc(100))
  const { handle } = await openInput(file)
  t.teardown(() => handle.close())
  truncateSync(file, 40)
  const error = await t.throwsAsync(readRange(handle, 20, 50, { file, tensor: 'w' }), {
    instanceOf: TaskfoldError,
  })
  t.like(error, { code: 'FILE_TRUNCATED', file, tensor: 'w' })
  t.regex(error?.message ?? '', /ends at byte 40, but bytes up to 70/)
})

test('a signal stops the reading', async (t) => {
  const file = join(tempFolder(t), 'data')
  writeFileSync(file, Buffer.alloc(10))
  const { handle } = await openInput(file)
  t.teardown(() => handle.close())
  const error = await t.throwsAsync(readRange(handle, 0, 10, { file, signal: AbortSignal.abort() }))
  t.like(error, { code: 'CANCELLED' })
})

test('an impossible length is OUT_OF_MEMORY', async (t) => {
  const file = join(tempFolder(t), 'data')
  writeFileSync(file, Buffer.alloc(10))
  const { handle } = await openInput(file)
  t.teardown(() => handle.close())
  t.like(await t.throwsAsync(readRange(handle, 0, 2 ** 52, { file })), { code: 'OUT_OF_MEMORY', file })
})

test('only regular files are inputs; a pipe does not make it wait', async (t) => {
  const folder = tempFolder(t)
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  mkdirSync(join(folder, 'sub'))
  symlinkSync('nowhere', join(folder, 'dangling'))
  symlinkSync('loop', join(folder, 'loop'))
  t.like(await t.throwsAsync(openInput(pipe)), { code: 'IO_ERROR', file: pipe })
  t.like(await t.throwsAsync(openInput(join(folder, 'sub'))), { code: 'IO_ERROR' })
  t.like(await t.throwsAsync(openInput('/dev/zero')), { code: 'IO_ERROR' })
  t.like(await t.throwsAsync(openInput(join(folder, 'dangling'))), { code: 'NOT_FOUND' })
  t.like(await t.throwsAsync(openInput(join(folder, 'loop'))), { code: 'IO_ERROR' })
  t.like(await t.throwsAsync(openInput(join(folder, 'none'))), {
    code: 'NOT_FOUND',
    file: join(folder, 'none'),
  })
  t.like(await t.throwsAsync(openInput('a\0b')), { code: 'INVALID_ARGUMENT' })
})

test('readSmallFile refuses what is above its limit', async (t) => {
  const file = join(tempFolder(t), 'data')
  writeFileSync(file, 'hello')
  const tooLarge = (bytes: number) => new TaskfoldError('INDEX_INVALID', `${bytes}`)
  t.is((await readSmallFile(file, { maxBytes: 5, tooLarge })).toString(), 'hello')
  t.like(await t.throwsAsync(readSmallFile(file, { maxBytes: 4, tooLarge })), {
    code: 'INDEX_INVALID',
    message: '5',
  })
})

test('free space is asked of the nearest parent', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'file'), '')
  for (const path of [folder, join(folder, 'a/b/c'), join(folder, 'file/below')]) {
    const free = await freeBytes(path)
    t.true(Number.isSafeInteger(free) && free > 0)
  }
})
