// Folds the example family's full fine-tunes at several densities and its adapters at several ranks, unfolds every task
// again, and counts right answers on test pictures.
// node examples/demo.mjs [--write-readme]; needs the build (scripts/demo.sh does everything).
import { rmSync } from 'node:fs'
import path from 'node:path'
import { openFamily } from 'taskfold'
import { folderBytes } from './demo/folder-bytes.mjs'
import { loraRows } from './demo/lora-rows.mjs'
import { differences, resultTable } from './demo/result-table.mjs'
import { runTaskfold } from './demo/run-taskfold.mjs'
import { writeReadme } from './demo/write-readme.mjs'
import { countCorrect, readFamily } from './evaluation/count-correct.mjs'
import { readSafetensors } from './evaluation/read-safetensors.mjs'

const root = path.join(import.meta.dirname, '..')
process.chdir(root)
const family = 'examples/family'
const work = 'examples/work'
const { tasks, reference } = readFamily(family)
const models = tasks.map((task) => `${task}=${family}/tasks/${task}`)
const original = (task) => `${family}/tasks/${task}/model.safetensors`
const isWeights = (name) => name.endsWith('.safetensors')

let pictures = 0

/** Right answers by task; `encoder` and `head` say which files serve a task. */
async function evaluate(encoder, head = original) {
  const correct = {}
  for (const task of tasks) {
    const result = await countCorrect({ family, task, encoder: encoder(task), head: head(task) })
    correct[task] = result.correct
    pictures = result.pictures
  }
  return correct
}

/** Folds, verifies and unfolds with the command line; returns the family's folder and the tasks' folder. */
function foldAndUnfold(name, density, scope) {
  const folded = `${work}/${name}`
  const unfolded = `${work}/${name}-unfolded`
  // The first family is shown in full.
  const brief = name !== 'global-1'
  const quiet = brief ? ['--quiet'] : []
  const run = (...args) => runTaskfold([...args, ...quiet], { brief })
  const taskOptions = models.flatMap((model) => ['--task', model])
  const method = ['--lambda', '0.3', '--density', density, '--scope', scope]
  run('fold', `${family}/base`, ...taskOptions, '-o', folded, ...method)
  run('verify', folded, ...models.flatMap((model) => ['--against', model]))
  run('unfold', folded, '--all', '-o', unfolded)
  if (!brief) run('inspect', folded)
  return { folded, unfolded }
}

/** At density 1 nothing may be lost: every tensor of every unfolded task has the original's bytes. */
function checkLossless() {
  const { unfolded } = foldAndUnfold('global-100', '100%', 'global')
  const wrong = []
  for (const task of tasks) {
    const before = readSafetensors(original(task))
    const after = readSafetensors(`${unfolded}/${task}/model.safetensors`)
    if (before.size !== after.size) wrong.push(`${task}: ${after.size} tensors instead of ${before.size}`)
    for (const [name, { bytes }] of before) {
      if (!after.has(name) || Buffer.compare(bytes, after.get(name).bytes) !== 0)
        wrong.push(`${task}: ${name} differs`)
    }
  }
  return wrong
}

/** The same through the API: a single tensor of a task, without unfolding the task. */
async function checkTensorOfTask(folded) {
  const opened = await openFamily(folded)
  const task = tasks[0]
  const { data } = await opened.tensor('classifier.weight', { task })
  opened.close()
  const same = Buffer.compare(data, readSafetensors(original(task)).get('classifier.weight').bytes) === 0
  return same ? [] : [`${task}: classifier.weight read through the API differs from the original`]
}

rmSync(work, { recursive: true, force: true })
const modelBytes = tasks.reduce((sum, task) => sum + folderBytes(`${family}/tasks/${task}`, isWeights), 0)
const rows = [
  {
    label: 'single-task models',
    reference: 'single-task',
    correct: await evaluate(original),
    deltaBytes: null,
    totalBytes: modelBytes,
  },
]
for (const scope of ['global', 'tensor']) {
  for (const density of [1, 5, 10]) {
    const { folded, unfolded } = foldAndUnfold(`${scope}-${density}`, `${density}%`, scope)
    const merged = `${folded}/merged/model.safetensors`
    if (rows.length === 1) {
      rows.push({
        label: 'merged only, heads apart',
        reference: 'task-arithmetic l=0.3',
        correct: await evaluate(() => merged),
        deltaBytes: null,
        totalBytes: folderBytes(path.dirname(merged), isWeights),
      })
    }
    rows.push({
      label: `folded, top ${density} %, ${scope}`,
      reference: `peru-fft l=0.3 top ${density}% ${scope}`,
      correct: await evaluate((task) => `${unfolded}/${task}/model.safetensors`),
      deltaBytes: folderBytes(`${folded}/tasks`, isWeights) / tasks.length,
      totalBytes: folderBytes(folded),
    })
  }
}
rows.push(...(await loraRows({ family, work, tasks, evaluate })))
const problems = [
  ...differences(rows, reference),
  ...checkLossless(),
  ...(await checkTensorOfTask(`${work}/global-10`)),
]

const table = resultTable(rows, tasks, pictures)
console.log(`\nRight answers in percent, ${pictures} test pictures a task:\n\n${table}\n`)
if (problems.length > 0) {
  console.error(`The demo failed:\n${problems.map((line) => `  ${line}`).join('\n')}`)
  process.exit(1)
}
console.log('All counts agree with examples/family/reference.json within one picture a task,')
console.log('and at density 100 % every task came back bit for bit.')
if (process.argv.includes('--write-readme')) writeReadme('README.md', table)
