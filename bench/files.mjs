// Whole folds and unfolds, files to files with a warm page cache, as multiples of what it takes to read the same inputs
// (cat) and to write the same outputs (cp). The commands wait for the disk as users run them, so they stand beside cp and sync; the API without waiting stands beside
// plain cp.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { interleaved, runMeasured } from './measure.mjs'
import { makeFamily } from './synthetic-family.mjs'

const root = path.join(import.meta.dirname, '..')
const cli = path.join(root, 'bin/taskfold.js')

async function folderBytes(folder) {
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(path.join(entry.parentPath, entry.name)).size
  }
  return bytes
}

/** @returns rows { job, s, GB/s, against, times, peak MiB } */
export async function benchFiles({ work, modelBytes, tasks, dtype, threads, rounds, shardBytes }) {
  const { fold, openFamily } = await import('../dist/index.mjs')
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  const family = await makeFamily(path.join(work, 'in'), { bytes: modelBytes, tasks, dtype, shardBytes })
  const at = (name) => path.join(work, name)
  /**
   * Every alternative starts from the same disk and the same free memory: all outputs removed, nothing left to write.
   */
  const alone = (outputs, run) => ({
    before() {
      for (const output of outputs) rmSync(at(output), { recursive: true, force: true })
      execFileSync('sync')
    },
    run,
  })
  const copy = (from, sync) => () => {
    execFileSync('cp', ['-r', from, at('copy')])
    if (sync) execFileSync('sync', ['-f', at('copy')])
  }
  const peak = {}
  const command = async (name, args) => {
    const options = ['--quiet', '--threads', String(threads)]
    const measured = await runMeasured(process.execPath, [cli, ...args, ...options])
    peak[name] = Math.max(peak[name] ?? 0, measured.peakAnonymousBytes)
  }
  const rows = []
  const row = (job, against, moved, times) => {
    rows.push({
      job: `${job} (${(family.modelBytes / 2 ** 30).toFixed(2)} GiB ${dtype}, ${tasks} tasks, ${threads} threads)`,
      s: (times[job].median / 1e3).toFixed(2),
      'GB/s': (moved / times[job].median / 1e6).toFixed(2),
      against: `${against} ${(times[against].median / 1e3).toFixed(2)} s`,
      times: (times[job].median / times[against].median).toFixed(2),
      'peak MiB': peak[job] === undefined ? '' : Math.round(peak[job] / 2 ** 20),
    })
  }

  // What a fold cannot avoid: reading all inputs once and writing the family's bytes.
  const named = family.tasks.map((folder, i) => ({ name: `t${i}`, path: folder }))
  await fold({ base: family.base, tasks: named, output: at('written'), threads, sync: false })
  const readAndCopy = (sync) => () => {
    execFileSync('sh', ['-c', `cat '${at('in')}'/*/* > /dev/null`])
    copy(at('written'), sync)()
  }
  const taskArguments = named.flatMap(({ name, path: folder }) => ['--task', `${name}=${folder}`])
  const folding = ['copy', 'family']
  const unfolding = ['copy', 'unfolded']
  let times = await interleaved(
    {
      'cat + cp': alone(folding, readAndCopy(false)),
      'fold API': alone(folding, () =>
        fold({ base: family.base, tasks: named, output: at('family'), threads, sync: false }),
      ),
      'cat + cp + sync': alone(folding, readAndCopy(true)),
      fold: alone(folding, () =>
        command('fold', ['fold', family.base, ...taskArguments, '-o', at('family')]),
      ),
    },
    rounds,
  )
  const moved = (tasks + 1) * family.modelBytes + (await folderBytes(at('family')))
  row('fold', 'cat + cp + sync', moved, times)
  row('fold API', 'cat + cp', moved, times)
  for (const output of ['copy', 'written']) rmSync(at(output), { recursive: true, force: true })

  const opened = await openFamily(at('family'))
  times = await interleaved(
    {
      cp: alone(unfolding, copy(at('family/merged'), false)),
      'unfold API': alone(unfolding, () =>
        opened.materialize('t0', at('unfolded'), { threads, sync: false }),
      ),
      'cp + sync': alone(unfolding, copy(at('family/merged'), true)),
      unfold: alone(unfolding, () =>
        command('unfold', ['unfold', at('family'), '--task', 't0', '-o', at('unfolded')]),
      ),
    },
    rounds,
  )
  opened.close()
  row('unfold', 'cp + sync', 2 * family.modelBytes, times)
  row('unfold API', 'cp', 2 * family.modelBytes, times)
  rmSync(work, { recursive: true, force: true })
  return rows
}
