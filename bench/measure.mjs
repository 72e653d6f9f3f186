// Timing of alternatives in turn, so that a busy machine slows all of them; and the peak anonymous memory of a child.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import os from 'node:os'

/**
 * Runs every alternative `rounds` times, interleaved, after one warm-up each. `before` runs outside of the clock.
 *
 * @param {Record<string, (() => unknown) | { before: () => unknown, run: () => unknown }>} alternatives
 * @returns milliseconds by name: min, median, max
 */
export async function interleaved(alternatives, rounds = 5) {
  const times = Object.fromEntries(Object.keys(alternatives).map((name) => [name, []]))
  for (let round = -1; round < rounds; round++) {
    for (const [name, alternative] of Object.entries(alternatives)) {
      const run = alternative.run ?? alternative
      await alternative.before?.()
      const start = process.hrtime.bigint()
      await run()
      if (round >= 0) times[name].push(Number(process.hrtime.bigint() - start) / 1e6)
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, list]) => [name, summary(list)]))
}

function summary(list) {
  const sorted = [...list].sort((a, b) => a - b)
  return { min: sorted[0], median: sorted[sorted.length >> 1], max: sorted.at(-1) }
}

/** Peak RssAnon in bytes and the seconds of a child process; throws when it fails. */
export async function runMeasured(program, args, options = {}) {
  const start = process.hrtime.bigint()
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], ...options })
  let stderr = ''
  child.stderr.on('data', (chunk) => (stderr += chunk))
  let peak = 0
  const timer = setInterval(() => {
    try {
      const match = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))
      if (match) peak = Math.max(peak, Number(match[1]) * 1024)
    } catch {
      // it has just ended
    }
  }, 5)
  const code = await new Promise((resolve) => child.on('close', resolve))
  clearInterval(timer)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${stderr}`)
  return { seconds: Number(process.hrtime.bigint() - start) / 1e9, peakAnonymousBytes: peak }
}

/** What a figure needs to mean anything later. */
export function machine() {
  const cpu = os.cpus()[0]?.model.trim() ?? 'unknown'
  return {
    cpu,
    threads: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: os.release(),
    node: process.version,
    load: os.loadavg().map((x) => Number(x.toFixed(2))),
    date: new Date().toISOString().slice(0, 10),
  }
}

/** Prints aligned columns. */
export function printTable(rows) {
  const columns = Object.keys(rows[0])
  const text = rows.map((row) => columns.map((column) => String(row[column])))
  const widths = columns.map((column, i) => Math.max(column.length, ...text.map((row) => row[i].length)))
  const line = (cells) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')
  console.log(line(columns))
  for (const row of text) console.log(line(row))
}
