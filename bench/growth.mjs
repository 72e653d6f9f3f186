// npm run bench:growth [-- --max-gib 2 --tasks-gib 0.25 --rounds 3 --work DIR --resume]
// Time of a fold by number of tasks, size of the model and threads: JSON after every point, docs/growth.svg at the end.
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { fold } from '../dist/index.mjs'
import { fitLine, growthSvg } from './growth-svg.mjs'
import { machine } from './measure.mjs'
import { compare } from './peers/compare.mjs'
import { writeBetween } from './peers/report.mjs'
import { makeFamily } from './synthetic-family.mjs'

const { values } = parseArgs({
  options: {
    'max-gib': { type: 'string', default: '2' },
    'tasks-gib': { type: 'string', default: '0.25' },
    rounds: { type: 'string', default: '3' },
    work: { type: 'string', default: path.join(os.tmpdir(), `taskfold-growth-${process.pid}`) },
    resume: { type: 'boolean', default: false },
    'no-docs': { type: 'boolean', default: false },
  },
})
const [maxGib, tasksGib, rounds] = [values['max-gib'], values['tasks-gib'], values.rounds].map(Number)
const { work } = values
const THREADS = [1, 2]
const SIZES = [0.25, 0.5, 1, 2, 4, 8].filter((gib) => gib <= maxGib)
const TASKS = [1, 2, 4, 8]

const info = machine()
const folder = path.join(import.meta.dirname, 'results')
const file = path.join(folder, `${info.date}-${os.arch()}-growth.json`)
mkdirSync(folder, { recursive: true })
const points = values.resume && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).points : []
const left = []
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    rmSync(work, { recursive: true, force: true })
    process.exit(1)
  })
}

/** Folds `tasks` of a model of `gib`, by each number of threads in turn; a series is what the point belongs to. */
async function measure(series, gib, tasks) {
  if (points.some((point) => point.series === series && point.gib === gib && point.tasks === tasks)) return
  const bytes = gib * 2 ** 30
  const { bavail, bsize } = statfsSync(os.tmpdir())
  // Inputs, θ*, and per task at most a quarter of a model; some room to spare.
  if ((tasks * 1.25 + 2.2) * bytes > bavail * bsize * 0.9) {
    left.push(`${gib} GiB with ${tasks} tasks: not enough disk`)
    return
  }
  rmSync(work, { recursive: true, force: true })
  const family = await makeFamily(path.join(work, 'in'), { bytes, tasks })
  const output = path.join(work, 'family')
  const named = family.tasks.map((source, i) => ({ name: `t${i}`, path: source }))
  const alternatives = THREADS.map((threads) => [
    threads,
    {
      before: () => rmSync(output, { recursive: true, force: true }),
      run: () =>
        fold({ base: family.base, tasks: named, output, threads, sync: false }).then(() => undefined),
    },
  ])
  const times = await compare(Object.fromEntries(alternatives), rounds)
  for (const threads of THREADS) {
    const { median, min, max } = times[threads]
    points.push({
      series,
      gib,
      modelGib: family.modelBytes / 2 ** 30,
      tasks,
      threads,
      s: median / 1e3,
      min: min / 1e3,
      max: max / 1e3,
    })
    console.log(points.at(-1))
  }
  writeFileSync(file, `${JSON.stringify({ machine: info, rounds, points }, null, 2)}\n`)
}

try {
  for (const tasks of TASKS) await measure('tasks', tasksGib, tasks)
  for (const gib of SIZES) await measure('size', gib, 2)
} finally {
  rmSync(work, { recursive: true, force: true })
}

const panels = [
  { series: 'tasks', title: `${tasksGib} GiB a model`, label: 'tasks', x: ({ tasks }) => tasks },
  { series: 'size', title: '2 tasks', label: 'GiB a model', x: ({ modelGib }) => modelGib },
].map(({ series, title, label, x }) => ({
  title,
  label,
  lines: THREADS.map((threads) => {
    const own = points.filter((point) => point.series === series && point.threads === threads)
    const at = own.map((point) => ({ x: x(point), y: point.s, min: point.min, max: point.max }))
    return { name: `${threads} thread${threads > 1 ? 's' : ''}`, points: at, fit: fitLine(at) }
  }),
}))
const rows = panels.flatMap(({ title, label, lines }) =>
  lines.map(({ name, points: at, fit }) => {
    const range = `${at[0].x.toPrecision(2)}–${at.at(-1).x.toPrecision(2)}`
    const deviation = `${(100 * fit.deviation).toFixed(1)} %`
    return `| ${title}, ${name} | ${range} ${label} | ${fit.intercept.toFixed(3)} s + ${fit.slope.toFixed(3)} s × ${label} | ${fit.r2.toFixed(4)} | ${deviation} |`
  }),
)
const text = [
  `${info.date}, ${info.cpu}, ${info.threads} threads, Node ${info.node}; medians of ${rounds} runs, load before: ${info.load.join(', ')}.`,
  '',
  '| fold | range | line of least squares | R² | largest deviation from the line |',
  '|---|---|---|---|---|',
  ...rows,
  ...left.map((line) => `\nLeft out: ${line}.`),
].join('\n')
console.log(text)
if (!values['no-docs']) {
  const docs = path.join(import.meta.dirname, '..', 'docs')
  writeFileSync(path.join(docs, 'growth.svg'), growthSvg(panels))
  const image = '![time of a fold by number of tasks and size of the model](growth.svg)'
  writeBetween(path.join(docs, 'benchmarks.md'), 'growth', `${image}\n\n${text}`)
}
