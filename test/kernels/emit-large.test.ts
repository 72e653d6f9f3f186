import { closeSync, openSync, readdirSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { native } from './addon.js'
import { differ, regionMaker } from './regions.js'

/** Above 2^29 elements the marks of a tensor wait in an unnamed file instead of memory. */
const ELEMENTS = 2 ** 29 + 70_001
const KEPT = [0, 1, 65_535, 65_536, 2 ** 28 + 12_345, 2 ** 29 - 1, 2 ** 29, ELEMENTS - 1]

for (const index of ['u16', 'bitmap'] as const) {
  test.serial(`a tensor of 512 Mi elements, mostly hole, coded ${index}`, async (t) => {
    const regions = regionMaker(t, seededRandom(1201))
    const path = join(regions.folder, 'task.bin')
    const fd = openSync(path, 'w')
    // f8e5m2: 1, 1.25, 1.5… and −1 last; everything between is a hole, that is +0.
    KEPT.forEach((at, i) => {
      writeSync(fd, Uint8Array.of(i === KEPT.length - 1 ? 0xbc : 0x3c + i), 0, 1, at)
    })
    closeSync(fd)
    const zero = join(regions.folder, 'merged.bin')
    closeSync(openSync(zero, 'w'))
    truncateSync(zero, ELEMENTS)
    const [task, merged] = [path, zero].map((name) => native.openFile(name, 'r'))
    t.teardown(() => {
      task!.close()
      merged!.close()
    })
    const out = regions.file()
    const region = (file: typeof task) => ({ file: file!, offset: 0, length: ELEMENTS })
    // Keys above that of 1.0, and the first tie with it: the −1 at the end is left out.
    const result = await native.emitDelta(
      {
        tensors: [
          {
            name: 'w',
            elements: ELEMENTS,
            dtype: 'F8_E5M2',
            task: { region: region(task), dtype: 'F8_E5M2' },
            merged: region(merged),
          },
        ],
        threshold: { key: 0x3f800000, ties: 1 },
        index,
        out: out.file,
        offset: 0,
      },
      {},
    )
    const kept = KEPT.slice(0, -1)
    const { value, indexBytes, blocks, ...rest } = result.tensors[0]!
    t.like(rest, { kept: kept.length, index, blockCount: Math.ceil(ELEMENTS / 65_536) })
    t.is(result.ties, 0)
    const written = out.read()
    const part = (range: typeof value, length: number) =>
      written.subarray(range.offset, range.offset + length)
    t.deepEqual(
      [...part(value, kept.length)],
      kept.map((_, i) => 0x3c + i),
    )
    const wanted = index === 'u16' ? Buffer.alloc(2 * kept.length) : Buffer.alloc(Math.ceil(ELEMENTS / 8))
    kept.forEach((at, i) => {
      if (index === 'u16') wanted.writeUInt16LE(at % 65_536, 2 * i)
      else wanted[Math.floor(at / 8)] = wanted[Math.floor(at / 8)]! | (1 << (at % 8))
    })
    t.is(differ(part(indexBytes, wanted.length), wanted), '')
    const starts = Buffer.alloc(4 * (rest.blockCount + 1))
    for (let b = 0; b <= rest.blockCount; b++) {
      starts.writeUInt32LE(kept.filter((at) => at < b * 65_536).length, 4 * b)
    }
    t.is(differ(part(blocks, starts.length), starts), '')
    t.deepEqual(readdirSync(regions.folder).length, 3, 'the file of the marks has no name')
  })
}
