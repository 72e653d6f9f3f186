import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { ErrorCode } from '../../../lib/errors/error-codes.js'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { openOutputFolder } from '../../../lib/io/atomic-output.js'
import { writeFileAtomic } from '../../../lib/io/write-file-atomic.js'
import { tempFolder } from '../../helpers/temp-folder.js'

const fails = async (t: ExecutionContext, code: ErrorCode, promise: Promise<unknown>) => {
  const error = await t.throwsAsync(promise, { instanceOf: TaskfoldError })
  t.is(error?.code, code)
  return error!
}

test('the folder appears at commit, with everything in it, and nothing else stays', async (t) => {
  const folder = tempFolder(t)
  const final = join(folder, 'out')
  const output = await openOutputFolder(final)
  t.is(output.work, `${final}.partial`)
  t.false(output.resumed)
  mkdirSync(join(output.work, 'sub'))
  writeFileSync(join(output.work, 'sub/a'), '1')
  t.false(existsSync(final))
  await output.commit()
  t.is(readFileSync(join(final, 'sub/a'), 'utf8'), '1')
  t.deepEqual(readdirSync(folder), ['out'])
  await output.discard()
  await output.keep()
  t.true(existsSync(final))
  await fails(t, 'INTERNAL', output.commit())
})

test('discard removes everything, parents that were made included', async (t) => {
  const folder = tempFolder(t)
  const output = await openOutputFolder(join(folder, 'a/b/out/'))
  writeFileSync(join(output.work, 'x'), '1')
  t.deepEqual(readdirSync(join(folder, 'a/b')).sort(), ['out.partial', 'out.partial.lock'])
  await output.discard()
  t.deepEqual(readdirSync(folder), [])
})

test('discard leaves parents that others use', async (t) => {
  const folder = tempFolder(t)
  const output = await openOutputFolder(join(folder, 'a/b/out'))
  writeFileSync(join(folder, 'a/other'), '')
  await output.discard()
  t.deepEqual(readdirSync(join(folder, 'a')), ['other'])
})

test('keep and resume: what was written is there again', async (t) => {
  const folder = tempFolder(t)
  const final = join(folder, 'out')
  const first = await openOutputFolder(final)
  writeFileSync(join(first.work, 'done'), '1')
  await first.keep()
  const second = await openOutputFolder(final, { resume: true })
  t.true(second.resumed)
  t.deepEqual(readdirSync(second.work), ['done'])
  await second.keep()
  const third = await openOutputFolder(final)
  t.false(third.resumed)
  t.deepEqual(readdirSync(third.work), [])
  await third.keep()
  t.deepEqual(readdirSync(folder), [], 'an empty partial folder is not worth keeping')
})

test('an existing target is refused without force, and untouched', async (t) => {
  const folder = tempFolder(t)
  const final = join(folder, 'out')
  mkdirSync(final)
  writeFileSync(join(final, 'family.json'), 'old')
  const error = await fails(t, 'OUTPUT_EXISTS', openOutputFolder(final))
  t.is(error.file, final)
  t.regex(error.hint ?? '', /--force/)
  t.deepEqual(readdirSync(folder), ['out'])
})

for (const name of ['family.json', 'model.safetensors']) {
  test(`force replaces a folder that holds ${name}`, async (t) => {
    const folder = tempFolder(t)
    const final = join(folder, 'out')
    mkdirSync(final)
    writeFileSync(join(final, name), 'old')
    writeFileSync(join(final, 'extra'), 'old')
    const output = await openOutputFolder(final, { force: true })
    writeFileSync(join(output.work, name), 'new')
    t.is(readFileSync(join(final, name), 'utf8'), 'old')
    await output.commit()
    t.deepEqual(readdirSync(folder), ['out'])
    t.deepEqual(readdirSync(final), [name])
    t.is(readFileSync(join(final, name), 'utf8'), 'new')
  })
}

test('force and discard: the old folder stays', async (t) => {
  const final = join(tempFolder(t), 'out')
  mkdirSync(final)
  writeFileSync(join(final, 'family.json'), 'old')
  const output = await openOutputFolder(final, { force: true })
  await output.discard()
  t.is(readFileSync(join(final, 'family.json'), 'utf8'), 'old')
})

test('a foreign folder is never replaced, force or not', async (t) => {
  const folder = tempFolder(t)
  const final = join(folder, 'photos')
  mkdirSync(final)
  writeFileSync(join(final, 'holiday.jpg'), '')
  for (const force of [false, true]) await fails(t, 'OUTPUT_EXISTS', openOutputFolder(final, { force }))
  t.deepEqual(readdirSync(folder), ['photos'])
})

test('a file in the way is refused, force or not', async (t) => {
  const final = join(tempFolder(t), 'out')
  writeFileSync(final, 'file')
  for (const force of [false, true]) await fails(t, 'OUTPUT_EXISTS', openOutputFolder(final, { force }))
  await fails(t, 'NOT_FOUND', openOutputFolder(join(final, 'below')))
})

test('an empty folder needs no force', async (t) => {
  const final = join(tempFolder(t), 'out')
  mkdirSync(final)
  const output = await openOutputFolder(final)
  writeFileSync(join(output.work, 'a'), '')
  await output.commit()
  t.deepEqual(readdirSync(final), ['a'])
})

test('a partial folder that is not ours is refused, unless it is to be resumed', async (t) => {
  const folder = tempFolder(t)
  const final = join(folder, 'out')
  mkdirSync(`${final}.partial`)
  writeFileSync(join(`${final}.partial`, 'precious'), '')
  writeFileSync(join(`${final}.partial`, 'precious.safetensors'), '')
  await fails(t, 'OUTPUT_EXISTS', openOutputFolder(final))
  t.deepEqual(readdirSync(folder), ['out.partial'])
  const output = await openOutputFolder(final, { resume: true })
  t.true(output.resumed)
  t.deepEqual(readdirSync(output.work).sort(), ['precious', 'precious.safetensors'])
  await output.keep()
})

test('a symbolic link is followed to its folder', async (t) => {
  const folder = tempFolder(t)
  mkdirSync(join(folder, 'disk/real'), { recursive: true })
  symlinkSync('disk/real', join(folder, 'out'))
  const output = await openOutputFolder(join(folder, 'out'))
  t.is(output.work, join(folder, 'disk/real.partial'))
  writeFileSync(join(output.work, 'a'), '')
  await output.commit()
  t.deepEqual(readdirSync(join(folder, 'out')), ['a'])
})

test('a link that leads nowhere, the root, the current folder and an empty name are refused', async (t) => {
  const folder = tempFolder(t)
  symlinkSync('nowhere', join(folder, 'out'))
  await fails(t, 'OUTPUT_EXISTS', openOutputFolder(join(folder, 'out')))
  for (const bad of ['/', '.', '..', '', 'a\0b', process.cwd()]) {
    await fails(t, 'INVALID_ARGUMENT', openOutputFolder(bad, { force: true }))
  }
})

test('an output never replaces an input or a folder that holds one', async (t) => {
  const folder = tempFolder(t)
  const input = join(folder, 'models/base')
  mkdirSync(input, { recursive: true })
  writeFileSync(join(input, 'model.safetensors'), 'x')
  writeFileSync(join(folder, 'models/other.safetensors'), 'x')
  symlinkSync('models', join(folder, 'link'))
  const inputs = [join(folder, 'link/base/model.safetensors')]
  for (const bad of ['models/base', 'models', 'link', 'link/base/']) {
    await fails(t, 'INVALID_ARGUMENT', openOutputFolder(join(folder, bad), { force: true, inputs }))
  }
  const beside = await openOutputFolder(join(folder, 'models/base2'), { force: true, inputs })
  await beside.discard()
})

test('a kill between the two renames of a replacement is repaired', async (t) => {
  const folder = tempFolder(t)
  const final = join(folder, 'out')
  const first = await openOutputFolder(final)
  writeFileSync(join(first.work, 'new'), '')
  await first.keep()
  mkdirSync(`${final}.partial.old`)
  writeFileSync(join(`${final}.partial.old`, 'family.json'), 'old')
  await fails(t, 'OUTPUT_EXISTS', openOutputFolder(final))
  t.is(readFileSync(join(final, 'family.json'), 'utf8'), 'old')
  const second = await openOutputFolder(final, { force: true, resume: true })
  t.deepEqual(readdirSync(second.work), ['new'])
  await second.commit()
  t.deepEqual(readdirSync(folder), ['out'])
  t.deepEqual(readdirSync(final), ['new'])
})

test('a signal stops a commit and leaves the choice between discard and keep', async (t) => {
  const folder = tempFolder(t)
  const output = await openOutputFolder(join(folder, 'out'))
  writeFileSync(join(output.work, 'a'), '')
  await fails(t, 'CANCELLED', output.commit(AbortSignal.abort()))
  t.deepEqual(readdirSync(folder).sort(), ['out.partial', 'out.partial.lock'])
  await output.discard()
  t.deepEqual(readdirSync(folder), [])
})

test('writeFileAtomic replaces a file and leaves nothing beside it', async (t) => {
  const folder = tempFolder(t)
  const path = join(folder, 'family.json')
  await writeFileAtomic(path, 'one')
  await writeFileAtomic(path, new Uint8Array([116, 119, 111]), { sync: false })
  t.is(readFileSync(path, 'utf8'), 'two')
  await fails(t, 'NOT_FOUND', writeFileAtomic(join(folder, 'none/x'), ''))
  mkdirSync(join(folder, 'taken'))
  await fails(t, 'IO_ERROR', writeFileAtomic(join(folder, 'taken'), ''))
  t.deepEqual(readdirSync(folder).sort(), ['family.json', 'taken'])
})
