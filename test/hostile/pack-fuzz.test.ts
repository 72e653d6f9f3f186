import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { materialize } from '../../lib/materialize/materialize.js'
import { openPack } from '../../lib/pack/open-pack.js'
import { validateManifest } from '../../lib/pack/validate-manifest.js'
import { verify } from '../../lib/report/verify.js'
import { naivePack } from '../helpers/naive-pack.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { sampleFamily } from '../helpers/sample-family.js'
import { tempFolder } from '../helpers/temp-folder.js'

const hostile: unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  0.5,
  1e300,
  2 ** 53,
  -0,
  '',
  '..',
  '/',
  'a\0b',
  '__proto__',
  'constructor',
  'a',
  'tied',
  [],
  {},
  [[]],
  [null],
  [-1],
  [2 ** 52, 2 ** 52],
  { length: 3 },
  JSON.parse('{"__proto__":{"kind":"same"}}'),
  'x'.repeat(5000),
]

/** Replaces, removes or copies one field somewhere in a JSON tree. */
function mutate(tree: unknown, random: Random): void {
  const places: [Record<string, unknown>, string][] = []
  const walk = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return
    for (const [key, child] of Object.entries(node)) {
      places.push([node as Record<string, unknown>, key])
      walk(child)
    }
  }
  walk(tree)
  const [node, key] = random.pick(places)
  const [from, name] = random.pick(places)
  if (random.chance(0.15)) delete node[key]
  else if (random.chance(0.3)) node[key] = structuredClone(from[name])
  else node[key] = random.pick(hostile)
}

/** Anything but a typed error of the input's own is a bug. */
function assertTyped(t: Parameters<typeof tempFolder>[0], error: unknown, what: string): void {
  if (!(error instanceof TaskfoldError) || error.code === 'INTERNAL') {
    t.log(error)
    t.fail(`${what}: ${error}`)
  }
}

test('a manifest with any field changed is accepted or refused, and nothing else', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  const text = readFileSync(join(root, 'family.json'), 'utf8')
  const random = seededRandom(20)
  let refused = 0
  for (let round = 0; round < 2000; round++) {
    const json = JSON.parse(text)
    mutate(json, random)
    try {
      validateManifest(json, root)
    } catch (error) {
      refused++
      assertTyped(t, error, `round ${round}`)
    }
  }
  t.true(refused > 500, `${refused} refused`)
})

test('a delta description with any field changed never crashes and never leaves output', async (t) => {
  const folder = tempFolder(t)
  const random = seededRandom(21)
  for (let round = 0; round < 80; round++) {
    const root = await naivePack(join(folder, `family-${round}`), sampleFamily(), {
      header: (header, task) => task === 'one' && mutate(header, random),
    })
    const out = join(folder, `out-${round}`)
    try {
      await materialize(await openPack(root), 'one', out, { sync: false })
    } catch (error) {
      assertTyped(t, error, `round ${round}`)
      t.false(
        readdirSync(folder).some((name) => name.startsWith(`out-${round}`)),
        `round ${round}`,
      )
    }
  }
})

test('a family with any byte changed unfolds or is refused, and verify sees the change', async (t) => {
  const folder = tempFolder(t)
  const honest = await naivePack(join(folder, 'honest'), sampleFamily())
  const files = readdirSync(honest, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== 'family.json')
    .map((entry) => join(entry.parentPath, entry.name).slice(honest.length + 1))
    .sort()
  const root = join(folder, 'family')
  const random = seededRandom(22)
  cpSync(honest, root, { recursive: true })
  for (let round = 0; round < 60; round++) {
    const file = random.pick(files)
    const original = readFileSync(join(root, file))
    const bytes = Buffer.from(original)
    // Headers are the interesting part of a safetensors file.
    const at = random.below(Math.min(bytes.length, random.chance(0.7) ? 4000 : bytes.length))
    bytes[at]! ^= 1 << random.below(8)
    writeFileSync(join(root, file), bytes)
    const out = join(folder, `out-${round}`)
    try {
      await materialize(await openPack(root), 'one', out, { sync: false })
    } catch (error) {
      assertTyped(t, error, `round ${round}, ${file} at ${at}`)
    }
    const error = await t.throwsAsync(
      verify(root),
      { instanceOf: TaskfoldError },
      `round ${round}, ${file} at ${at}`,
    )
    assertTyped(t, error, `round ${round}, ${file} at ${at}`)
    writeFileSync(join(root, file), original)
  }
  t.truthy(await verify(root))
})
