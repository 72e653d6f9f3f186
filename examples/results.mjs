// Accuracy per byte of every codec on the example family, from real files, beside one-bit methods of others.
// npm run results: writes docs/results.md (between its markers), docs/accuracy.svg and docs/results.json. Needs the build.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fold, inspect, openFamily, planSizes, verify } from 'taskfold'
import { writeReadme } from './demo/write-readme.mjs'
import { countCorrect, readFamily } from './evaluation/count-correct.mjs'
import { lineChart } from './results/chart.mjs'
import { bitDelta, emr, readEncoder, tallMasks, writeEncoder } from './results/rivals.mjs'
import { codecTable, frontierProblems, rivalTable } from './results/tables.mjs'

process.chdir(path.join(import.meta.dirname, '..'))
const family = 'examples/family'
const work = 'examples/work-results'
const { tasks } = readFamily(family)
const original = (task) => `${family}/tasks/${task}/model.safetensors`
const BITS = [0.1, 0.25, 0.5, 1]
const LAMBDAS = ['average', 0.1, 0.3]

let pictures = 0
/** Mean accuracy in percent; `encoder(task)` is a file. */
async function accuracy(encoder) {
  let correct = 0
  for (const task of tasks) {
    const result = await countCorrect({ family, task, encoder: encoder(task), head: original(task) })
    correct += result.correct
    pictures = result.pictures
  }
  return (100 * correct) / (tasks.length * pictures)
}

const inputs = Object.fromEntries(tasks.map((task) => [task, `${family}/tasks/${task}`]))

/** The density at which a codec takes about so many bits, on average over the tasks. */
async function densityFor(codec, lambda, targetBits) {
  const { rows } = await planSizes({
    base: `${family}/base`,
    tasks: inputs,
    lambdas: [lambda],
    targetBits: [targetBits],
    densities: [],
  })
  const own = rows.filter((row) => row.codec === codec)
  return own.reduce((sum, row) => sum + row.density, 0) / own.length
}

/** Folds with one codec at one size and gives every task back from the files. */
async function measure(codec, lambda, targetBits) {
  const folder = `${work}/family`
  rmSync(folder, { recursive: true, force: true })
  const size = codec === 'step' ? { targetBits } : { density: await densityFor(codec, lambda, targetBits) }
  await fold({ base: `${family}/base`, tasks: inputs, output: folder, codec, lambda, ...size, sync: false })
  const opened = await openFamily(folder)
  const files = new Map()
  for (const name of opened.tasks) {
    const out = `${work}/${name}`
    rmSync(out, { recursive: true, force: true })
    await opened.materialize(name, out)
    files.set(name, `${out}/model.safetensors`)
  }
  opened.close()
  let bytes = 0
  let elements = 0
  for (const task of (await inspect(folder)).tasks) {
    const { values, indices, blocks, scales, streams } = task.stored
    bytes += values + indices + blocks + scales + streams
    elements += task.elements
  }
  const verified = await verify(folder, { against: inputs })
  const left =
    verified.tasks.reduce((sum, { against }) => sum + (1 - against.retainedEnergy), 0) / tasks.length
  const mean = await accuracy((task) => files.get(task))
  const bits = (8 * bytes) / elements
  return { codec, lambda, target: targetBits, bits, relativeError: Math.sqrt(left), accuracy: mean }
}

async function measureRivals() {
  const base = readEncoder(`${family}/base/model.safetensors`)
  const models = tasks.map((task) => readEncoder(original(task)))
  const rows = []
  const add = async (name, weights) => {
    const file = (task) => `${work}/rival-${task}.safetensors`
    for (const [i, task] of tasks.entries()) writeEncoder(original(task), weights[i], file(task))
    rows.push({ name, bits: 1, accuracy: await accuracy(file) })
  }
  await add(
    'BitDelta-like: sign and one scale a tensor, of θt − θ0',
    models.map((model) => bitDelta(base, model)),
  )
  for (const alpha of [0.3, 0.5]) {
    for (const lambda of [0.4, 0.6, 0.8, 1])
      await add(`TALL mask, α = ${alpha}, λ = ${lambda}`, tallMasks(base, models, alpha, lambda))
  }
  await add('EMR-Merging', emr(base, models))
  return rows
}

/** The best setting of each method, chosen on these very pictures: more than its user could do. */
function bestOfEach(rivals) {
  const best = new Map()
  for (const rival of rivals) {
    const name = rival.name.split(/[:,]/)[0]
    if (!(best.get(name)?.accuracy >= rival.accuracy)) best.set(name, { ...rival, name })
  }
  return [...best.values()]
}

rmSync(work, { recursive: true, force: true })
mkdirSync(work, { recursive: true })
const single = await accuracy(original)
const rows = []
for (const codec of ['exact', 'sign', 'int4', 'step']) {
  for (const lambda of LAMBDAS) {
    for (const bits of BITS) {
      const row = await measure(codec, lambda, bits)
      rows.push(row)
      console.log(
        `${codec} λ ${lambda}, ${bits} bits: ${row.bits.toFixed(3)} bits stored, ${row.accuracy.toFixed(2)} %`,
      )
    }
  }
}
const rivals = await measureRivals()
for (const { name, accuracy: mean } of rivals) console.log(`${name}: ${mean.toFixed(2)} %`)

const curve = (codec, lambda) => ({
  name: `${codec}, λ ${lambda}`,
  points: rows
    .filter((row) => row.codec === codec && row.lambda === lambda)
    .map((row) => [row.bits, row.accuracy]),
})
const chart = lineChart({
  title: 'Accuracy of six tasks by size of the remainder',
  x: 'bits per parameter and task, measured in files (logarithmic)',
  y: 'mean accuracy, %',
  ticks: BITS,
  range: [84, 95],
  series: [
    curve('step', 'average'),
    curve('sign', 'average'),
    curve('int4', 'average'),
    curve('exact', 'average'),
    ...bestOfEach(rivals).map(({ name, bits, accuracy: mean }) => ({ name, points: [[bits, mean]] })),
  ],
})
writeFileSync('docs/accuracy.svg', chart)
writeFileSync('docs/results.json', `${JSON.stringify({ pictures, single, rows, rivals }, null, 2)}\n`)
writeReadme(
  'docs/results.md',
  `\n${codecTable(rows, single, BITS)}\n\n${rivalTable(rivals, rows)}\n`,
  'results',
)
rmSync(work, { recursive: true, force: true })
const problems = frontierProblems(rows)
if (problems.length > 0) {
  console.error(problems.join('\n'))
  process.exit(1)
}
console.log('step is within 0.5 points of the expected accuracy at every size.')
