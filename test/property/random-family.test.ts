import { rmSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { forEachSimdTarget } from '../helpers/force-simd.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { native } from '../kernels/addon.js'
import { checkFamily, foldWritten, writeFamily } from './check-family.js'
import { familyCase } from './random-settings.js'
import { readEveryFile } from './read-folder.js'

const FAMILIES = 40

for (let seed = 1; seed <= FAMILIES; seed++) {
  const { family, settings, label } = familyCase(seed)
  test.serial(`as the reference, bit for bit: ${label}`, async (t) => {
    const problems = await checkFamily(tempFolder(t), family, settings)
    t.deepEqual(problems.slice(0, 10), [], label)
  })
}

// More tensors than one native call takes: thresholds, ties and offsets go on from batch to batch.
for (const seed of [209, 221, 227]) {
  const { family, settings, label } = familyCase(seed, 900)
  test.serial(`many tensors: ${label}`, async (t) => {
    const problems = await checkFamily(tempFolder(t), family, settings)
    t.deepEqual(problems.slice(0, 10), [], label)
  })
}

for (const seed of [101, 102, 103, 104, 105, 106]) {
  const { family, settings: random, label } = familyCase(seed)
  const settings = { ...random, density: seed % 2 === 0 ? 0.1 : 0.01 }
  test.serial(`same bytes with any SIMD target and 1, 2, 5 threads, seed ${seed}`, async (t) => {
    const folder = tempFolder(t)
    const written = writeFamily(folder, family)
    let first: Map<string, Buffer> | undefined
    await forEachSimdTarget(native, async (target) => {
      for (const threads of [1, 2, 5]) {
        const output = join(folder, 'family')
        await foldWritten(written, output, family, { ...settings, threads })
        const files = readEveryFile(output)
        first ??= files
        t.deepEqual([...files.keys()], [...first.keys()])
        const changed = [...files].filter(([name, bytes]) => !first!.get(name)!.equals(bytes))
        t.deepEqual(
          changed.map(([name]) => name),
          [],
          `${target}, ${threads} threads, ${label}`,
        )
        rmSync(output, { recursive: true })
      }
    })
  })
}
