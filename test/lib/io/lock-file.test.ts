import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { openOutputFolder } from '../../../lib/io/atomic-output.js'
import { takeLockFile } from '../../../lib/io/lock-file.js'
import { isAlive, ownIdentity } from '../../../lib/io/process-identity.js'
import { tempFolder } from '../../helpers/temp-folder.js'

const module = fileURLToPath(new URL('../../../lib/io/atomic-output.ts', import.meta.url))

/** Opens an output in another process, which holds it until it is killed. */
async function holder(t: ExecutionContext, final: string): Promise<ChildProcess> {
  const script = `
    import { writeFileSync } from 'node:fs'
    const { openOutputFolder } = await import(${JSON.stringify(module)})
    const output = await openOutputFolder(${JSON.stringify(final)})
    writeFileSync(output.work + '/half', 'written')
    console.log('open')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  t.is(line.toString().trim(), 'open')
  return child
}

test('another running process makes it OUTPUT_BUSY; after kill -9 its lock is taken over', async (t) => {
  const folder = tempFolder(t)
  const final = join(folder, 'out')
  const child = await holder(t, final)
  for (const resume of [false, true]) {
    const error = await t.throwsAsync(openOutputFolder(final, { resume }), { instanceOf: TaskfoldError })
    t.like(error, { code: 'OUTPUT_BUSY', file: final })
    t.true(error?.message.includes(String(child.pid)))
  }
  t.true(existsSync(join(`${final}.partial`, 'half')))
  child.kill('SIGKILL')
  await once(child, 'exit')

  const resumed = await openOutputFolder(final, { resume: true })
  t.true(resumed.resumed)
  t.is(readFileSync(join(resumed.work, 'half'), 'utf8'), 'written')
  await resumed.keep()
  const fresh = await openOutputFolder(final)
  t.deepEqual(readdirSync(fresh.work), [])
  await fresh.discard()
  t.deepEqual(readdirSync(folder), [])
})

test('the same process cannot open an output twice', async (t) => {
  const folder = tempFolder(t)
  const output = await openOutputFolder(join(folder, 'out'))
  t.like(await t.throwsAsync(openOutputFolder(join(folder, 'out'))), { code: 'OUTPUT_BUSY' })
  t.like(await t.throwsAsync(openOutputFolder(join(folder, 'x/../out/'))), { code: 'OUTPUT_BUSY' })
  await output.discard()
  await (await openOutputFolder(join(folder, 'out'))).discard()
  t.deepEqual(readdirSync(folder), [])
})

const dead = JSON.stringify({ pid: 2 ** 22 + 1, host: hostname() })

test('of many that try at once exactly one gets a stale lock', async (t) => {
  const path = join(tempFolder(t), 'lock')
  for (let round = 0; round < 20; round++) {
    writeFileSync(path, dead)
    const tries = await Promise.allSettled(Array.from({ length: 12 }, () => takeLockFile(path, 'out')))
    const won = tries.filter((result) => result.status === 'fulfilled')
    t.is(won.length, 1)
    for (const result of tries) {
      if (result.status === 'rejected') t.like(result.reason, { code: 'OUTPUT_BUSY' })
    }
    await won[0]!.value.release()
    t.deepEqual(readdirSync(dirname(path)), [])
  }
})

test('a process that was killed while it took over a lock does not block the next', async (t) => {
  const path = join(tempFolder(t), 'lock')
  for (const name of [path, `${path}.takeover`, `${path}.takeover.takeover`]) writeFileSync(name, dead)
  const lock = await takeLockFile(path, 'out')
  t.true(lock.tookOver)
  await lock.release()
  t.deepEqual(readdirSync(dirname(path)), [])
})

test('a process number that was given to another process does not keep the lock', async (t) => {
  const path = join(tempFolder(t), 'lock')
  const own = await ownIdentity()
  t.true(await isAlive(own))
  if (own.started === null) return t.pass('no /proc on this system')
  t.false(await isAlive({ ...own, started: '1' }))
  t.false(await isAlive({ ...own, boot: 'another boot' }))
  writeFileSync(path, JSON.stringify({ ...own, started: '1' }))
  const lock = await takeLockFile(path, 'out')
  t.true(lock.tookOver)
  await lock.release()
})

test('a lock of another machine, or of no known shape, is left alone', async (t) => {
  const path = join(tempFolder(t), 'lock')
  const contents = [
    JSON.stringify({ pid: 1, host: `not-${hostname()}` }),
    '',
    'null',
    '{"pid":-1,"host":"x"}',
    '{"pid":1e300,"host":"x"}',
    'x'.repeat(10_000),
  ]
  for (const content of contents) {
    writeFileSync(path, content)
    const error = await t.throwsAsync(takeLockFile(path, '/out'), { instanceOf: TaskfoldError })
    t.like(error, { code: 'OUTPUT_BUSY', file: '/out' })
    t.true(error?.hint?.includes(path))
    t.is(readFileSync(path, 'utf8'), content)
  }
})

test('release leaves the lock of someone else', async (t) => {
  const path = join(tempFolder(t), 'lock')
  const lock = await takeLockFile(path, 'out')
  writeFileSync(path, 'someone else')
  await lock.release()
  t.true(existsSync(path))
})

test('a folder in the place of the lock is an error', async (t) => {
  const path = join(tempFolder(t), 'lock')
  mkdirSync(path)
  t.like(await t.throwsAsync(takeLockFile(path, 'out')), { code: 'OUTPUT_BUSY' })
})
