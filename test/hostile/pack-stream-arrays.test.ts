import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { materialize } from '../../lib/materialize/materialize.js'
import { materializeTensor } from '../../lib/materialize/materialize-tensor.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { inspect } from '../../lib/report/inspect.js'
import { verify } from '../../lib/report/verify.js'
import { type Random, seededRandom } from '../helpers/random.js'
import {
  assertTyped,
  CODES,
  DELTA,
  DIRECTORY,
  editManifest,
  foldedOnce,
  type Parts,
  readParts,
  resize,
  TABLES,
  writeDelta,
  writeParts,
} from './stream-lies.js'

const family = foldedOnce(test)

const bytesOf = ({ stored }: Parts, name: string) => stored.get(name)!.data

/** Found when the arrays are read. */
const arrayLies: Record<string, (parts: Parts) => void> = {
  'no bytes of tables': ({ stored }) => resize(stored, TABLES, 0),
  'no bytes of a directory': ({ stored }) => resize(stored, DIRECTORY, 0),
  'no bytes of codes': ({ stored }) => resize(stored, CODES, 0),
  'tables that are cut': ({ stored }) => resize(stored, TABLES, 8),
  'codes that are cut': ({ stored }) => resize(stored, CODES, stored.get(CODES)!.data.length - 8),
  'codes that are too long': ({ stored }) => resize(stored, CODES, stored.get(CODES)!.data.length + 8),
  'a directory that is too long': ({ stored }) => resize(stored, DIRECTORY, 4096),
  'tables that are too long': ({ stored }) => resize(stored, TABLES, 1 << 20),
  'an endless varint': (parts) => bytesOf(parts, DIRECTORY).fill(0xff),
  'tables of zeros': (parts) => bytesOf(parts, TABLES).fill(0),
  'a directory of zeros': (parts) => bytesOf(parts, DIRECTORY).fill(0),
  'codes of zeros': (parts) => bytesOf(parts, CODES).fill(0),
  'codes of ones': (parts) => bytesOf(parts, CODES).fill(0xff),
  'arrays that changed places': ({ header }) => {
    const { tables, directory } = header.coded
    Object.assign(header.coded, { tables: directory, directory: tables })
  },
  'a coded tensor less': ({ header }) => (header.absent = ['b', 'gone']),
  'a coded tensor more': ({ header }) => (header.absent = []),
}

for (const [name, change] of Object.entries(arrayLies)) {
  test(`arrays with ${name}`, async (t) => {
    const root = family(t)
    const parts = readParts(root)
    for (const tensor of parts.stored.values()) tensor.data = new Uint8Array(tensor.data)
    change(parts)
    writeParts(root, parts)
    editManifest(root, (manifest) => (manifest.tasks[0].elements = 1e6))
    const pack = await openPack(root)
    const uses = [
      () => materialize(pack, 'one', join(root, '..', 'out')),
      () => materializeTensor(pack, 'one', 'a'),
    ]
    for (const use of uses) {
      const error = await t.throwsAsync(use, { instanceOf: TaskfoldError })
      t.deepEqual(
        [error.code, error.file, error.task],
        ['PACK_INVALID', join(root, DELTA), 'one'],
        error.message,
      )
    }
    t.deepEqual(readdirSync(join(root, '..')), ['family'])
    const error = await t.throwsAsync(verify(root), { instanceOf: TaskfoldError })
    t.is(error.code, 'VERIFY_FAILED')
    t.true(error.problems!.some((problem) => problem.code === 'PACK_INVALID' && problem.task === 'one'))
    await t.notThrowsAsync(inspect(root))
  })
}

test('verify finds a flipped bit wherever it is', async (t) => {
  const root = family(t)
  const path = join(root, DELTA)
  const honest = readFileSync(path)
  const random = seededRandom(61)
  for (let round = 0; round < 60; round++) {
    const bytes = Buffer.from(honest)
    const at = random.below(bytes.length)
    bytes[at]! ^= 1 << random.below(8)
    writeFileSync(path, bytes)
    const error = await t.throwsAsync(verify(root), { instanceOf: TaskfoldError }, `byte ${at}`)
    t.true(
      error.code === 'VERIFY_FAILED' && error.problems!.every((problem) => problem.code !== 'INTERNAL'),
      `byte ${at}: ${error.code} ${error.message}`,
    )
  }
  writeFileSync(path, honest)
  await t.notThrowsAsync(verify(root))
})

/** Flips, random runs, a cut or longer file; mostly in the small arrays and the header, which decide most. */
function spoil(bytes: Buffer, random: Random): Buffer {
  const place = () => random.below(random.chance(0.6) ? Math.min(bytes.length, 2500) : bytes.length)
  if (random.chance(0.1)) return bytes.subarray(0, place())
  if (random.chance(0.1)) return Buffer.concat([bytes, Buffer.alloc(1 + random.below(64), random.below(256))])
  for (let i = 1 + random.below(3); i > 0; i--) {
    const at = random.chance(0.5) ? place() : Math.max(0, bytes.length - 1 - random.below(2500))
    if (random.chance(0.5)) bytes[at]! ^= 1 << random.below(8)
    else for (let j = at; j < Math.min(bytes.length, at + 12); j++) bytes[j] = random.below(256)
  }
  return bytes
}

test('random bytes in the delta file: an answer or a typed error, and no output left behind', async (t) => {
  const root = family(t)
  const honest = readFileSync(join(root, DELTA))
  const random = seededRandom(62)
  let refused = 0
  for (let round = 0; round < 300; round++) {
    writeDelta(root, spoil(Buffer.from(honest), random))
    const out = join(root, '..', 'out')
    try {
      await materialize(await openPack(root), 'one', out, { sync: false })
    } catch (error) {
      refused++
      assertTyped(t, error, `round ${round}`)
      t.deepEqual(readdirSync(join(root, '..')), ['family'], `round ${round}`)
    }
    rmSync(out, { recursive: true, force: true })
    if (round % 10 === 0) {
      const inspected = await inspect(root).catch((thrown: unknown) => thrown)
      if (inspected instanceof Error) assertTyped(t, inspected, `round ${round}, inspect`)
    }
  }
  t.true(refused > 100, `${refused} refused`)
})
