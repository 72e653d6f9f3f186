// npm run test:pack: packs a copy of this checkout, installs the tarball into empty folders where no compiler is on
// PATH, with and without install scripts, and folds a tiny family through npx; sees that without an NVIDIA driver every
// command says so. The checkout itself is left alone (prebuildify moves
// build/Release/taskfold.node away). `npm run test:pack -- FILE.tgz` takes a tarball that is there already.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const root = path.join(import.meta.dirname, '..')
const work = mkdtempSync(path.join(tmpdir(), 'taskfold-pack-'))
const started = Date.now()
/** Of the tarball. */
const MOST_BYTES = 30e6
const say = (text) => console.log(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${text}`)

/** Runs a program and gives its output; a failure shows both streams. */
function run(program, args, options) {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], ...options })
  } catch (error) {
    throw new Error(
      `${program} ${args.join(' ')} failed:\n${error.stdout ?? ''}${error.stderr ?? error.message}`,
    )
  }
}

/** The files that git would commit, without the examples and results that no package holds. */
function copyCheckout(target) {
  const listed = run('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root })
  for (const name of listed.split('\0')) {
    if (name === '' || /^(examples|bench|test)\//.test(name) || !existsSync(path.join(root, name))) continue
    cpSync(path.join(root, name), path.join(target, name))
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(target, 'node_modules'))
}

function pack() {
  const checkout = path.join(work, 'checkout')
  mkdirSync(checkout)
  copyCheckout(checkout)
  const nvcc = existsSync('/usr/local/cuda/bin/nvcc') || process.env.CUDA_PATH || process.env.CUDA_HOME
  const env = {
    ...process.env,
    TASKFOLD_PREBUILD_CUDA: process.env.TASKFOLD_PREBUILD_CUDA ?? (nvcc ? 'ON' : 'AUTO'),
  }
  run('npm', ['pack', '--pack-destination', work], { cwd: checkout, env })
  const { name, version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  return path.join(work, `${name}-${version}.tgz`)
}

/** A folder with node, npm, npx, sh and nothing else, to be the whole PATH. */
function barePath() {
  const folder = path.join(work, 'bin')
  mkdirSync(folder)
  for (const program of ['node', 'npm', 'npx', 'sh']) {
    symlinkSync(run('sh', ['-c', `command -v ${program}`]).trim(), path.join(folder, program))
  }
  return folder
}

/** A safetensors file with one F32 matrix whose values come from `seed`. */
function writeModel(file, seed) {
  const values = new Float32Array(300 * 300)
  let state = seed
  for (let i = 0; i < values.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    values[i] = state / 2 ** 32 - 0.5
  }
  const entry = { dtype: 'F32', shape: [300, 300], data_offsets: [0, values.byteLength] }
  const json = JSON.stringify({ __metadata__: { format: 'pt' }, weight: entry })
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  writeFileSync(file, Buffer.concat([length, header, Buffer.from(values.buffer)]))
}

function checkInstalled(tarball, options, PATH) {
  const folder = mkdtempSync(path.join(work, 'empty-'))
  const env = { ...process.env, PATH, HOME: process.env.HOME ?? work }
  for (const name of ['CC', 'CXX', 'TASKFOLD_NATIVE', 'TASKFOLD_CUDA', 'TASKFOLD_CUDA_LIBRARY'])
    delete env[name]
  const npm = (...args) => run('npm', args, { cwd: folder, env })
  const taskfold = (...args) => run('npx', ['--no-install', 'taskfold', ...args], { cwd: folder, env })
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n')
  npm('install', '--no-audit', '--no-fund', '--prefer-offline', ...options, tarball)
  say(`installed ${options.join(' ') || 'with scripts'}`)
  const prebuilt = path.join(folder, 'node_modules', 'taskfold', 'prebuilds')
  for (const name of readdirSync(prebuilt, { recursive: true })) {
    const { size } = statSync(path.join(prebuilt, name))
    if (/\.(node|so)$/.test(name)) say(`  ${name}: ${(size / 1e6).toFixed(1)} MB`)
  }

  for (const [name, seed] of Object.entries({ base: 1, one: 2, two: 3 })) {
    writeModel(path.join(folder, `${name}.safetensors`), seed)
  }
  const tasks = ['--task', 'one=one.safetensors', '--task', 'two=two.safetensors']
  taskfold('fold', 'base.safetensors', ...tasks, '-o', 'family', '--density', '100%', '--quiet')
  taskfold('verify', 'family', '--against', 'one=one.safetensors', '--against', 'two=two.safetensors')
  taskfold('unfold', 'family', '--all', '-o', 'unfolded', '--quiet')
  for (const name of ['one', 'two']) {
    const before = readFileSync(path.join(folder, `${name}.safetensors`))
    const after = readFileSync(path.join(folder, 'unfolded', name, 'model.safetensors'))
    const bytes = 300 * 300 * 4
    if (!before.subarray(-bytes).equals(after.subarray(-bytes)))
      throw new Error(`${name} did not come back bit for bit`)
  }
  const load = "if (typeof m.fold !== 'function') throw new Error('fold is missing')"
  run('node', ['--input-type=module', '-e', `import * as m from 'taskfold'; ${load}`], { cwd: folder, env })
  run('node', ['-e', `const m = require('taskfold'); ${load}`], { cwd: folder, env })
  say('folded, verified and unfolded through npx; loaded as ESM and CJS')
  checkDevices(folder, env, tasks)
}

/** Without a driver: `devices` and `--device auto` say so and the fold goes on; `--device cuda` fails. */
function checkDevices(folder, env, tasks) {
  if (existsSync('/proc/driver/nvidia/version') || existsSync('/dev/nvidiactl') || existsSync('/dev/dxg')) {
    say('an NVIDIA driver is here: what is said without one was not checked')
    return
  }
  const taskfold = (args, status) => {
    const result = spawnSync('npx', ['--no-install', 'taskfold', ...args], {
      cwd: folder,
      env,
      encoding: 'utf8',
    })
    const shown = `taskfold ${args.join(' ')}: exit code ${result.status}\n${result.stdout}${result.stderr}`
    if (result.status !== status) throw new Error(`${shown}expected exit code ${status}`)
    return { ...result, shown }
  }
  const expect = ({ shown }, holds, what) => {
    if (!holds) throw new Error(`${shown}\nexpected ${what}`)
  }
  const reason = /driver/i
  const found = taskfold(['devices'], 0)
  expect(found, /^cuda +none: .*driver/m.test(found.stdout), 'a line that says that there is no driver')
  const rest = ['base.safetensors', ...tasks, '--density', '100%']
  const auto = taskfold(['fold', ...rest, '-o', 'family-auto', '--device', 'auto'], 0)
  const notes = auto.stderr
    .split('\n')
    .filter((line) => line.startsWith('note:') && /cuda|driver|GPU/i.test(line))
  expect(auto, notes.length === 1 && reason.test(notes[0]), 'one note, about the driver')
  const cuda = taskfold(['fold', ...rest, '-o', 'family-cuda', '--device', 'cuda'], 1)
  expect(cuda, reason.test(cuda.stderr), 'the reason on stderr')
  expect(cuda, !existsSync(path.join(folder, 'family-cuda')), 'no output')
  say('without a driver: devices, --device auto and --device cuda say so')
}

try {
  const given = process.argv[2]
  const tarball = given === undefined ? pack() : path.resolve(given)
  const { size } = statSync(tarball)
  say(`packed ${path.basename(tarball)}, ${(size / 1e6).toFixed(1)} MB`)
  if (size > MOST_BYTES) {
    throw new Error(
      `above ${MOST_BYTES / 1e6} MB the CUDA library belongs in a package of its own (docs/RELEASE.md)`,
    )
  }
  const PATH = barePath()
  checkInstalled(tarball, ['--ignore-scripts'], PATH)
  checkInstalled(tarball, [], PATH)
  say('pack test passed')
} finally {
  rmSync(work, { recursive: true, force: true })
}
