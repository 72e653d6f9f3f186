// npm run bench:lora [-- --layers 32 --rounds 3 --python /path/to/venv/bin/python --skip-full-svd]
// LoRA resize and extract against what a user would otherwise run. Without a Python that has torch and safetensors only
// our own times are measured. Build first.
import { mkdirSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { benchLora } from './lora-rows.mjs'
import { machine, printTable } from './measure.mjs'

const { values } = parseArgs({
  options: {
    layers: { type: 'string', default: '32' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: String(os.availableParallelism()) },
    python: { type: 'string', default: 'python3' },
    work: { type: 'string', default: path.join(os.tmpdir(), 'taskfold-bench-lora') },
    'skip-full-svd': { type: 'boolean', default: false },
  },
})
const threads = Number(values.threads)
const { rows, torch } = await benchLora({
  work: values.work,
  layers: Number(values.layers),
  rounds: Number(values.rounds),
  threads,
  python: values.python,
  skipFullSvd: values['skip-full-svd'],
})
const info = { ...machine(), torch, threads }
console.log(info)
printTable(rows)
const results = path.join(import.meta.dirname, 'results')
mkdirSync(results, { recursive: true })
const file = path.join(results, `${info.date}-${os.arch()}-lora.json`)
writeFileSync(file, `${JSON.stringify({ machine: info, lora: rows }, null, 2)}\n`)
console.log(`written to ${path.relative(process.cwd(), file)}`)
