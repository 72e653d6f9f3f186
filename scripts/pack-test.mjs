// npm run test:pack: packs a copy of this checkout, installs the tarball into empty folders where no compiler is on
// PATH, with and without install scripts, and folds a tiny family through npx. The checkout itself is left alone
// (prebuildify moves build/Release/taskfold.node away).
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
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
  for (const name of ['CC', 'CXX', 'TASKFOLD_NATIVE']) delete env[name]
  const npm = (...args) => run('npm', args, { cwd: folder, env })
  const taskfold = (...args) => run('npx', ['--no-install', 'taskfold', ...args], { cwd: folder, env })
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }\n')
  npm('install', '--no-audit', '--no-fund', '--prefer-offline', ...options, tarball)
  say(`installed ${options.join(' ') || 'with scripts'}`)

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
}

try {
  const tarball = pack()
  say(`packed ${path.basename(tarball)}, ${(statSync(tarball).size / 1000).toFixed(0)} kB`)
  const PATH = barePath()
  checkInstalled(tarball, ['--ignore-scripts'], PATH)
  checkInstalled(tarball, [], PATH)
  say('pack test passed')
} finally {
  rmSync(work, { recursive: true, force: true })
}
