// npm run bench [-- --gib 2 --tasks 2 --rounds 3 --dtype BF16 --skip-files --skip-kernels --work DIR]
// Prints tables and writes them with machine and date to bench/results/. Build first.
import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { benchFiles } from './files.mjs'
import { benchKernels } from './kernels.mjs'
import { machine, printTable } from './measure.mjs'

const { values } = parseArgs({
  options: {
    gib: { type: 'string', default: '0.5' },
    tasks: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    dtype: { type: 'string', default: 'BF16' },
    threads: { type: 'string', default: String(os.availableParallelism()) },
    work: { type: 'string', default: path.join(os.tmpdir(), 'taskfold-bench') },
    'skip-files': { type: 'boolean', default: false },
    'skip-kernels': { type: 'boolean', default: false },
  },
})
const rounds = Number(values.rounds)
const threads = Number(values.threads)
const result = { machine: machine() }
console.log(result.machine)

if (!values['skip-kernels']) {
  result.kernels = []
  for (const dtype of ['F32', 'BF16']) {
    result.kernels.push(...(await benchKernels({ elements: 1 << 26, dtype, threads, rounds })))
  }
  printTable(result.kernels)
}
if (!values['skip-files']) {
  const options = { work: values.work, modelBytes: Number(values.gib) * 2 ** 30, dtype: values.dtype }
  result.files = await benchFiles({ ...options, tasks: Number(values.tasks), threads, rounds })
  printTable(result.files)
}

const folder = path.join(import.meta.dirname, 'results')
mkdirSync(folder, { recursive: true })
const file = path.join(
  folder,
  `${result.machine.date}-${os.arch()}-${values.gib}gib-${values.tasks}tasks.json`,
)
writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
console.log(`written to ${path.relative(process.cwd(), file)}`)
