import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { peakMemory } from '../helpers/peak-memory.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { writeTiledCheckpoint } from '../helpers/tiled-checkpoint.js'

const CLI = fileURLToPath(new URL('../helpers/cli-child.ts', import.meta.url))
const MIB = 2 ** 20
const THREADS = 2
/** What design.md section 8 allows for any size of checkpoint. */
const LIMIT = (512 + THREADS * 64) * MIB
/** The larger model has 8 times the bytes, 448 MiB more: a peak that followed its size would show here. */
const SLACK = 64 * MIB

test.serial('the memory of fold and unfold is bounded, whatever the size of the model', async (t) => {
  const peaks: Record<'fold' | 'unfold', number[]> = { fold: [], unfold: [] }
  for (const mib of [64, 512]) {
    const folder = tempFolder(t)
    const at = (name: string) => join(folder, name)
    const base = writeTiledCheckpoint(at('base'), { mib, drift: 0 })
    const task = writeTiledCheckpoint(at('task'), { mib, drift: 0.1 })
    const run = (...args: string[]) =>
      peakMemory(['--import=tsx', CLI, ...args, '--quiet', '--threads', String(THREADS)])
    peaks.fold.push(await run('fold', base, '--task', `a=${task}`, '-o', at('family')))
    rmSync(base, { recursive: true })
    rmSync(task, { recursive: true })
    peaks.unfold.push(await run('unfold', at('family'), '--task', 'a', '-o', at('unfolded')))
    rmSync(folder, { recursive: true })
  }
  for (const [command, [small = 0, large = 0]] of Object.entries(peaks)) {
    const text = `${command}: ${(small / MIB).toFixed(0)} MiB for 64 MiB, ${(large / MIB).toFixed(0)} MiB for 512 MiB`
    t.log(text)
    t.true(Math.max(small, large) < LIMIT, text)
    t.true(large < small + SLACK, text)
  }
})
