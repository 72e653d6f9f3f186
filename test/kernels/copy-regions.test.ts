import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { type NativeError, native } from './addon.js'
import { differ, PLACES, regionMaker } from './regions.js'

test('copies between memory and files at odd offsets', async (t) => {
  const random = seededRandom(21)
  const regions = regionMaker(t, random)
  for (const size of [0, 1, 7, 4096, 65537, 1048576, 5000011]) {
    for (const fromPlace of PLACES) {
      const content = new Uint8Array(size).map((_, i) => (i * 7 + size + (i >> 8)) & 255)
      const outs = PLACES.map((place) => regions.output(size, place))
      const copies = outs.map((out, i) => ({
        name: `copy ${i}`,
        from: regions.input(content, fromPlace),
        to: out.region,
      }))
      await native.copyRegions({ copies }, { threads: random.pick([1, 2, 3]) })
      for (const out of outs) t.is(differ(out.read(), content), '', `${size} bytes from ${fromPlace}`)
    }
    regions.clear()
  }
})

test('lengths that differ are refused', async (t) => {
  const copies = [{ name: 'head.bias', from: new Uint8Array(8), to: new Uint8Array(7) }]
  const error = await t.throwsAsync<NativeError>(native.copyRegions({ copies }, {}))
  t.is(error.code, 'INVALID_ARGUMENT')
  t.regex(error.message, /head\.bias/)
})

test('a file that shrank is FILE_TRUNCATED and names tensor and file', async (t) => {
  const regions = regionMaker(t, seededRandom(22))
  const path = join(regions.folder, 'short.bin')
  writeFileSync(path, new Uint8Array(100000))
  const file = native.openFile(path, 'r')
  writeFileSync(path, new Uint8Array(50000))
  const copies = [{ name: 'w', from: { file, offset: 0, length: 100000 }, to: new Uint8Array(100000) }]
  const error = await t.throwsAsync<NativeError>(native.copyRegions({ copies }, {}))
  file.close()
  t.is(error.code, 'FILE_TRUNCATED')
  t.is(error.tensor, 'w')
  t.true(error.file === path || error.message.includes(path))
})

test('openFile, allocateFile, syncFile, close', async (t) => {
  const regions = regionMaker(t, seededRandom(23))
  const missing = join(regions.folder, 'missing.bin')
  const error = t.throws<NativeError>(() => native.openFile(missing, 'r'))
  t.is(error.code, 'NOT_FOUND')
  t.true(error.message.includes('missing.bin'))
  const { file, path } = regions.file()
  t.is(file.path, path)
  await native.allocateFile(file, 12345)
  await native.copyRegions(
    { copies: [{ name: 'x', from: Buffer.from('hello'), to: { file, offset: 12340, length: 5 } }] },
    {},
  )
  await native.syncFile(file)
  file.close()
  file.close()
  t.is(readFileSync(path).length, 12345)
  t.is(readFileSync(path).subarray(12340).toString(), 'hello')
  const again = native.openFile(path, 'w')
  t.is(again.size, 12345, 'w never truncates')
  again.close()
  t.is(readFileSync(path).length, 12345)
})

test('a closed file, a read-only target and a range behind the end are refused', async (t) => {
  const regions = regionMaker(t, seededRandom(24))
  const path = join(regions.folder, 'in.bin')
  writeFileSync(path, new Uint8Array(64))
  const file = native.openFile(path, 'r')
  t.is(file.size, 64)
  const copy = (from: { offset: number; length: number }, to?: boolean) =>
    native.copyRegions(
      {
        copies: [
          {
            name: 'n',
            from: to ? new Uint8Array(from.length) : { file, ...from },
            to: to ? { file, ...from } : new Uint8Array(from.length),
          },
        ],
      },
      {},
    )
  t.is(
    (await t.throwsAsync<NativeError>(async () => copy({ offset: 0, length: 8 }, true))).code,
    'INVALID_ARGUMENT',
  )
  const beyond = await t.throwsAsync<NativeError>(async () => copy({ offset: 60, length: 8 }))
  t.true(['FILE_TRUNCATED', 'INVALID_ARGUMENT'].includes(beyond.code!), beyond.code)
  file.close()
  t.is(
    (await t.throwsAsync<NativeError>(async () => copy({ offset: 0, length: 8 }))).code,
    'INVALID_ARGUMENT',
  )
})

test('a pipe is refused, not waited for', (t) => {
  const regions = regionMaker(t, seededRandom(26))
  const path = join(regions.folder, 'pipe')
  execFileSync('mkfifo', [path])
  const error = t.throws<NativeError>(() => native.openFile(path, 'r'))
  t.true(error.message.includes('pipe'))
})

test('closing while a job runs: the job still ends well', async (t) => {
  const regions = regionMaker(t, seededRandom(25))
  const path = join(regions.folder, 'big.bin')
  writeFileSync(path, new Uint8Array(8 << 20).fill(9))
  const file = native.openFile(path, 'r')
  const to = new Uint8Array(8 << 20)
  const job = native.copyRegions(
    { copies: [{ name: 'n', from: { file, offset: 0, length: to.length }, to }] },
    {},
  )
  file.close()
  await job
  t.true(to.every((byte) => byte === 9))
})
