import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { gpuEnvironment } from '../../helpers/fake-gpu.js'

const root = path.join(import.meta.dirname, '..', '..', '..')
const PUBLIC = [
  'TaskfoldError',
  'fold',
  'inspect',
  'openFamily',
  'readCheckpoint',
  'verify',
  'writeCheckpoint',
]

/** Runs a module in a fresh process of the package's own root, so that `taskfold` resolves through its exports. */
function run(source: string, env = process.env): string {
  return execFileSync(process.execPath, ['--input-type=module', '-e', source], {
    cwd: root,
    env,
    encoding: 'utf8',
  }).trim()
}

test.before((t) => {
  if (!existsSync(path.join(root, 'dist', 'index.mjs'))) t.fail('dist/ is missing: run `npm run build` first')
})

test('the ESM and the CJS build export the same names', (t) => {
  const source = `
    import { createRequire } from 'node:module'
    import * as esm from 'taskfold'
    const cjs = createRequire(import.meta.url)('taskfold')
    const names = (m) => Object.keys(m).filter((name) => name !== 'default' && name !== 'module.exports').sort()
    console.log(JSON.stringify([names(esm), names(cjs)]))`
  const [esm, cjs] = JSON.parse(run(source)) as [string[], string[]]
  t.deepEqual(esm, cjs)
  for (const name of PUBLIC) t.true(esm.includes(name), `${name} is exported`)
})

test('both builds share one addon', (t) => {
  const source = `
    import { createRequire } from 'node:module'
    const require = createRequire(import.meta.url)
    const esm = await import('taskfold')
    const cjs = require('taskfold')
    if ((await esm.devices()).cpu.simd !== (await cjs.devices()).cpu.simd) throw new Error('two engines')
    console.log(Object.keys(require.cache).filter((file) => file.endsWith('.node')).length)`
  t.is(run(source), '1')
})

test('both builds try CUDA in a child process that they find', (t) => {
  const source = `
    import { createRequire } from 'node:module'
    import { devices } from 'taskfold'
    const cjs = createRequire(import.meta.url)('taskfold/kernels')
    console.log(devices().cuda.reason, '|', cjs.devices().cuda.reason)`
  const env = gpuEnvironment({ TASKFOLD_EMULATED_ERROR: 'cudaSetDevice=46' })
  const [esm, cjs] = run(source, env).split(' | ')
  t.is(esm, cjs)
  t.regex(esm!, process.platform === 'linux' ? /^CUDA device 0: cudaSetDevice/ : /Linux only/)
})

test('nothing but the listed entry points can be imported', (t) => {
  const source = `
    const codes = []
    for (const name of ['taskfold/dist/index.mjs', 'taskfold/lib/native.cjs', 'taskfold/package.json']) {
      try { import.meta.resolve(name); codes.push('ok') } catch (error) { codes.push(error.code) }
    }
    console.log(codes.join(' '))`
  t.is(run(source), 'ERR_PACKAGE_PATH_NOT_EXPORTED ERR_PACKAGE_PATH_NOT_EXPORTED ok')
})

test('the package holds what an installation needs and nothing of the workshop', (t) => {
  const listing = execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const files = (JSON.parse(listing) as { files: { path: string }[] }[])[0]!.files.map((file) => file.path)
  for (const wanted of [
    'LICENSE',
    'README.md',
    'CMakeLists.txt',
    'binding.gyp',
    'bin/taskfold.js',
    'dist/index.mjs',
    'dist/index.cjs',
    'dist/index.d.mts',
    'dist/index.d.cts',
    'lib/native.cjs',
    'lib/probe-child.cjs',
    'scripts/install.cjs',
    'scripts/gyp-cmake.cjs',
    'cuda/taskfold_cuda.h',
    'docs/FORMAT.md',
  ]) {
    t.true(files.includes(wanted), `${wanted} is packed`)
  }
  const workshop = files.filter(
    (file) => /^(test|examples|bench|build|\.ci)\//.test(file) || /^lib\/.*\.ts$/.test(file),
  )
  t.deepEqual(workshop, [])
})
