// Runs ava against the addon built by `npm run build:asan`. Preloads the sanitizer into node itself only: npm and npx
// leak by their own design.
'use strict'
const { execFileSync, spawnSync } = require('node:child_process')
const path = require('node:path')

const root = path.join(__dirname, '..')
const asan = execFileSync('g++', ['-print-file-name=libasan.so']).toString().trim()
const ava = path.join(root, 'node_modules/ava/entrypoints/cli.mjs')
const result = spawnSync(process.execPath, [ava, ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: {
    ...process.env,
    LD_PRELOAD: asan,
    ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1',
    UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    TASKFOLD_NATIVE: path.join(root, 'build/asan/out/taskfold.node'),
  },
})
process.exit(result.status ?? 1)
