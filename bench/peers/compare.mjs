// Alternatives in turn (A B A B …) with median and spread, and dropping files from the page cache.
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'

/**
 * Times alternatives in turn, after one warm-up of each. A peer's answer `{ ms }` is its own time, without the pipe to it.
 *
 * @param {Record<string, { before?: () => unknown, run: () => unknown, slow?: boolean }>} alternatives `slow` ones run in
 * the first round only, without a warm-up: they take so long that neither matters
 * @param {number} rounds
 * @returns milliseconds by name: `{ median, min, max, runs }`, or `{ missing }` when a peer says why it cannot
 */
export async function compare(alternatives, rounds) {
  const times = Object.fromEntries(Object.keys(alternatives).map((name) => [name, []]))
  const missing = {}
  for (let round = -1; round < rounds; round++) {
    for (const [name, { before, run, slow }] of Object.entries(alternatives)) {
      if (missing[name] !== undefined || (slow && round !== 0)) continue
      await before?.()
      const start = process.hrtime.bigint()
      const answer = await run()
      const ms = answer?.ms ?? Number(process.hrtime.bigint() - start) / 1e6
      if (answer?.missing !== undefined) missing[name] = answer.missing
      else if (round >= 0) times[name].push(ms)
    }
  }
  return Object.fromEntries(
    Object.entries(times).map(([name, list]) => [
      name,
      missing[name] === undefined ? spread(list) : { missing: missing[name] },
    ]),
  )
}

function spread(list) {
  const sorted = [...list].sort((a, b) => a - b)
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1), runs: sorted.length }
}

/** All files below a folder. */
export function filesBelow(folder) {
  return readdirSync(folder, { recursive: true })
    .map((name) => path.join(folder, name))
    .filter((file) => statSync(file).isFile())
}

/**
 * Drops the files of folders from the page cache, which needs no rights: written back first, then POSIX_FADV_DONTNEED.
 *
 * @returns false where dd cannot do that (it is GNU's)
 */
export function dropFromCache(...folders) {
  return folders.flatMap(filesBelow).every((file) => {
    const { status } = spawnSync('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0'])
    return status === 0
  })
}

/**
 * Rows of the table: one for each alternative, as a multiple of our time.
 *
 * @param {{ job: string, ours: string, equality: Record<string, string>, targets?: Record<string, string> }} about
 */
export function rowsOf({ job, ours, equality = {}, targets = {}, cache = 'warm' }, times) {
  const own = times[ours].median
  return Object.entries(times).map(([name, found]) => ({
    job,
    alternative: name,
    cache,
    ...(found.missing !== undefined
      ? { missing: found.missing }
      : { ...found, ratio: name === ours ? null : found.median / own }),
    equality: equality[name] ?? '',
    target: targets[name] ?? '',
  }))
}
