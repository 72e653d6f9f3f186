// Builds test/native/*_test.cpp with the native rooms under ASan and UBSan and runs them. Without cmake-js: no Node
// header is involved. Prints `native tests: N passed, N failed` at the end.
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import path from 'node:path'

const root = path.join(import.meta.dirname, '..')
const folder = 'build/native-tests'
const env = {
  ...process.env,
  ASAN_OPTIONS: 'halt_on_error=1:detect_leaks=1:strict_string_checks=1',
  UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
}

/** Runs a program from the root and ends this script when it fails. */
function run(program, args) {
  const result = spawnSync(program, args, { cwd: root, stdio: 'inherit', env })
  if (result.error) console.error(`native tests: ${program} can't be started: ${result.error.message}`)
  if (result.status !== 0) process.exit(1)
}

const ninja = spawnSync('ninja', ['--version'], { stdio: 'ignore' }).status === 0
run('cmake', [
  ...['-S', '.', '-B', folder, '-G', ninja ? 'Ninja' : 'Unix Makefiles'],
  ...['-DTASKFOLD_TESTS=ON', '-DTASKFOLD_SANITIZE=ON', '-DTASKFOLD_CUDA=OFF'],
])
const parallel = String(availableParallelism())
run('cmake', ['--build', folder, '--parallel', parallel])

const ctest = spawnSync('ctest', ['--test-dir', folder, '--output-on-failure', '--no-tests=error'], {
  cwd: root,
  env,
  encoding: 'utf8',
})
process.stdout.write(ctest.stdout ?? '')
process.stderr.write(ctest.stderr ?? '')
const [, failed, total] = /(\d+) tests? failed out of (\d+)/.exec(ctest.stdout ?? '')?.map(Number) ?? [
  0, 1, 1,
]
console.log(`native tests: ${total - failed} passed, ${failed} failed`)
process.exit(ctest.status === 0 ? 0 : 1)
