// npm run bench:peers [-- --gib 0.5 --tasks 2 --rounds 3 --threads 2 --only select --full …]
// taskfold against what a user would otherwise run: same inputs, same threads, in turn, results compared first. Writes
// bench/results/*.json after every section and the table of docs/benchmarks.md at the end. Build first.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { benchLora } from '../lora-rows.mjs'
import { machine } from '../measure.mjs'
import { makeFamily } from '../synthetic-family.mjs'
import { filesSection } from './files-section.mjs'
import { mergeSection } from './merge-section.mjs'
import { startPeer } from './python-peer.mjs'
import { markdown, writeBetween } from './report.mjs'
import { selectSection } from './select-section.mjs'
import { environment } from './virtual-env.mjs'

const HELP = `npm run bench:peers -- [options]
  --gib N              GiB of a model (0.5)          --tasks N     fine-tunes (2)
  --full               the same as --gib 2 --tasks 4
  --rounds N           timed runs of each (3)        --threads N   of all alternatives (all)
  --elements N         entries of the selection (67108864)
  --only NAME          select, files, merge or lora; may be repeated; the others' earlier rows stay
  --layers N           of the LoRA adapter (32)      --full-svd    LoRA: also peft's way, a minute a run
  --python PATH        interpreter with torch, numpy, safetensors (peft), instead of an environment of our own
  --mergekit-python PATH   the same with mergekit
  --no-install         make no environment           --pip ARG     one more argument of pip install; may be repeated
  --work DIR           for inputs and outputs        --json FILE   where results go (bench/results/…)
  --no-docs            leave docs/benchmarks.md alone`

const text = (value) => ({ type: 'string', ...(value === undefined ? {} : { default: value }) })
const flag = { type: 'boolean', default: false }
const { values } = parseArgs({
  options: {
    gib: text(),
    tasks: text(),
    full: flag,
    rounds: text('3'),
    threads: text(String(os.availableParallelism())),
    elements: text(String(1 << 26)),
    only: { type: 'string', multiple: true },
    layers: text('32'),
    'full-svd': flag,
    python: text(),
    'mergekit-python': text(),
    'no-install': flag,
    pip: { type: 'string', multiple: true, default: [] },
    work: text(path.join(os.tmpdir(), `taskfold-peers-${process.pid}`)),
    json: text(),
    'no-docs': flag,
    help: flag,
  },
})
if (values.help) {
  console.log(HELP)
  process.exit(0)
}
const gib = Number(values.gib ?? (values.full ? 2 : 0.5))
const tasks = Number(values.tasks ?? (values.full ? 4 : 2))
const [rounds, threads, elements] = [values.rounds, values.threads, values.elements].map(Number)
const only = values.only ?? ['select', 'files', 'merge', 'lora']
const { work } = values

const missing = []
/** A peer's process, or null with a line that says why. */
async function peer(name, script, python) {
  const found = environment(name, { python, install: !values['no-install'], pip: values.pip })
  const started = found.python === null ? null : await startPeer(script, [String(threads)], found.python)
  const why = found.why ?? `it lacks ${found.lacks.join(', ') || 'something that it needs'}`
  if (started === null || found.lacks.length > 0) {
    missing.push(`${name}: ${why}`)
    console.log(
      `peer ${missing.at(-1)}; ${started === null ? 'its rows are left out' : 'rows that need it are left out'}`,
    )
  }
  return { peer: started, python: started === null ? null : found.python }
}

const torch = await peer('torch', 'torch_peer.py', values.python)
const mergekit = only.includes('merge')
  ? await peer('mergekit', 'mergekit_peer.py', values['mergekit-python'])
  : { peer: null }

const info = { ...machine(), threads }
const folder = path.join(import.meta.dirname, '..', 'results')
const name = `${info.date}-${os.arch()}-peers-${gib}gib-${tasks}tasks.json`
const file = path.resolve(values.json ?? path.join(folder, name))
mkdirSync(path.dirname(file), { recursive: true })
const before = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
const result = {
  machine: info,
  versions: {
    ...before.versions,
    ...torch.peer?.hello,
    mergekit: mergekit.peer?.hello.mergekit ?? before.versions?.mergekit ?? 'none',
  },
  command: `npm run bench:peers -- --gib ${gib} --tasks ${tasks} --rounds ${rounds} --threads ${threads}`,
  missing,
  sections: { ...before.sections },
}

const SECTIONS = {
  select: (options) => selectSection({ ...options, elements }),
  files: (options) => filesSection({ ...options, memoryBytes: os.totalmem() }),
  merge: (options) => mergeSection({ ...options, mergekit: mergekit.peer }),
  async lora() {
    const options = { work: path.join(work, 'lora'), layers: Number(values.layers), rounds, threads }
    const { rows } = await benchLora({
      ...options,
      python: torch.python ?? 'python3',
      skipFullSvd: !values['full-svd'],
    })
    return fromLora(rows)
  },
}

/** Targets of design.md section 10 for the rows of bench:lora, by the alternative's name. */
const LORA_TARGETS = { 'torch full svd': '≥ 1000×', 'torch qr, qr, svd': '≥ 2×' }

/** Rows of bench:lora as rows of the table. */
function fromLora(rows) {
  return rows.map(({ what, alternative, ms, 'relative error': error }) => {
    const own = rows.find((row) => row.what === what)
    const target = what.startsWith('extract 4096×4096') ? '≥ 1.5× at equal error' : LORA_TARGETS[alternative]
    return {
      job: what,
      alternative,
      cache: 'warm',
      median: Number(ms),
      ratio: alternative === own.alternative ? null : Number(ms) / Number(own.ms),
      equality: error === '' ? '' : `relative error ${error}`,
      target: alternative === own.alternative ? '' : (target ?? ''),
    }
  })
}

let failed = false
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    rmSync(work, { recursive: true, force: true })
    process.exit(1)
  })
}
try {
  mkdirSync(work, { recursive: true })
  let family
  if (only.includes('files') || only.includes('merge'))
    family = await makeFamily(path.join(work, 'in'), { bytes: gib * 2 ** 30, tasks })
  for (const section of only) {
    console.log(`\n${section} …`)
    try {
      const rows = await SECTIONS[section]({ work, family, rounds, threads, torch: torch.peer })
      result.sections[section] = { rows, date: new Date().toISOString(), load: os.loadavg(), rounds, threads }
      writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`)
      console.log(markdown({ ...result, sections: { [section]: result.sections[section] } }))
    } catch (error) {
      failed = true
      console.error(`${section}: ${error.stack}`)
    }
  }
} finally {
  torch.peer?.close()
  mergekit.peer?.close()
  rmSync(work, { recursive: true, force: true })
}
if (!values['no-docs'] && Object.keys(result.sections).length > 0) {
  const page = path.join(import.meta.dirname, '..', '..', 'docs', 'benchmarks.md')
  writeBetween(page, 'peers', markdown(result))
}
console.log(`written to ${path.relative(process.cwd(), file)}`)
process.exitCode = failed ? 1 : 0
