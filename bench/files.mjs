// Whole folds and unfolds, files to files with a warm page cache, as multiples of what cp needs for the same bytes.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { interleaved, runMeasured } from './measure.mjs'
import { makeFamily } from './synthetic-family.mjs'

const cli = path.join(import.meta.dirname, '../bin/taskfold.js')

async function folderBytes(folder) {
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(path.join(entry.parentPath, entry.name)).size
  }
  return bytes
}

/** @returns rows { job, s, GB/s, × cp, peak MiB } */
export async function benchFiles({ work, modelBytes, tasks, dtype, threads, rounds, shardBytes }) {
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  const family = await makeFamily(path.join(work, 'in'), { bytes: modelBytes, tasks, dtype, shardBytes })
  const out = (name) => path.join(work, name)
  const fresh = (name) => rmSync(out(name), { recursive: true, force: true })
  let peak = {}
  const run = async (name, args) => {
    const measured = await runMeasured(process.execPath, [
      cli,
      ...args,
      '--quiet',
      '--threads',
      String(threads),
    ])
    peak[name] = Math.max(peak[name] ?? 0, measured.peakAnonymousBytes)
  }
  const taskArguments = family.tasks.flatMap((folder, i) => ['--task', `t${i}=${folder}`])
  const rows = []
  const row = (job, moved, times) => {
    rows.push({
      job: `${job} (${(family.modelBytes / 2 ** 30).toFixed(2)} GiB ${dtype}, ${tasks} tasks, ${threads} threads)`,
      s: (times[job].median / 1e3).toFixed(2),
      'GB/s': (moved / times[job].median / 1e6).toFixed(2),
      '× cp': (times[job].median / times.cp.median).toFixed(2),
      'peak MiB': Math.round((peak[job] ?? 0) / 2 ** 20),
    })
  }

  // cp of all inputs stands for reading them; the family's bytes are written besides.
  let times = await interleaved(
    {
      cp: () => {
        fresh('copy')
        execFileSync('cp', ['-r', path.join(work, 'in'), out('copy')])
      },
      fold: async () => {
        fresh('family')
        await run('fold', ['fold', family.base, ...taskArguments, '-o', out('family')])
      },
    },
    rounds,
  )
  row('fold', (tasks + 1) * family.modelBytes + (await folderBytes(out('family'))), times)
  fresh('copy')

  peak = {}
  times = await interleaved(
    {
      cp: () => {
        fresh('copy')
        execFileSync('cp', ['-r', path.join(out('family'), 'merged'), out('copy')])
      },
      unfold: async () => {
        fresh('unfolded')
        await run('unfold', ['unfold', out('family'), '--task', 't0', '-o', out('unfolded')])
      },
    },
    rounds,
  )
  row('unfold', 2 * family.modelBytes, times)
  rmSync(work, { recursive: true, force: true })
  return rows
}
