/**
 * Makes the golden families of stream codecs with the real fold: `npx tsx test/golden/make-golden-streams.ts`, in v1-streams
 * beside this file. As with those of make-golden.ts, what a release has written is never written anew.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { writeCheckpoint } from '../../lib/checkpoint/write-checkpoint.js'
import { fold } from '../../lib/fold/fold.js'
import { seededRandom } from '../helpers/random.js'
import { encode, goldenRows, model, type Tensor } from './make-golden.js'

/** Two rows more than a block: the tensor has a whole block and a short one of its own. */
const WIDE = { name: 'layer.wide', dtype: 'F8_E5M2', shape: [258, 256] } as const

function wide(seed: number): Tensor {
  const task = seededRandom(seed * 1000 + 99)
  const values = Float64Array.from({ length: 258 * 256 }, (_, i) => (i % 7) / 4 - 0.75)
  // Change only in some stretches: segments with many, few and no entries.
  for (let i = 0; i < values.length && seed > 0; i++)
    if (task.chance(i % 9000 < 300 ? 0.3 : 0)) values[i]! += 1
  return { ...WIDE, shape: [...WIDE.shape], data: encode(WIDE.dtype, values) }
}

/** The second task lacks a tensor, which merged/ then has from the base alone. */
function streamModel(seed: number, withWide: boolean): Tensor[] {
  const tensors = model(seed).filter(({ name }) => seed < 2 || name !== 'positions')
  return withWide ? [...tensors, wide(seed)] : tensors
}

/** Families of v1-streams: one with a tensor of several blocks and most codes zero, one with large codes. */
const STREAMS = {
  coarse: { withWide: true, options: { codec: 'step', targetBits: 0.1 } },
  fine: { withWide: false, options: { codec: 'step', targetBits: 12 } },
} as const

async function makeGoldenStreams(folder: string): Promise<void> {
  if (existsSync(folder)) throw new Error(`${folder} exists: golden families are never written anew`)
  const work = mkdtempSync(join(tmpdir(), 'taskfold-golden-'))
  try {
    const rows: Record<string, unknown> = {}
    for (const [family, { withWide, options }] of Object.entries(STREAMS)) {
      const [base, first, second] = ['base', 'first', 'second'].map((name) => join(work, family, name))
      for (const [seed, path] of [base!, first!, second!].entries()) {
        await writeCheckpoint(path, streamModel(seed, withWide), { metadata: { format: 'pt' } })
      }
      const output = join(folder, family)
      mkdirSync(folder, { recursive: true })
      await fold({
        base: base!,
        tasks: { first: first!, second: second! },
        output,
        rows: 'prefix',
        ...options,
      })
      rows[family] = await goldenRows(output)
    }
    writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(rows, null, 2)}\n`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await makeGoldenStreams(fileURLToPath(new URL('v1-streams', import.meta.url)))
}
