import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'ava'

const script = path.join(import.meta.dirname, '..', '..', '..', 'scripts', 'test-counts.mjs')

function count(status: number, ...logs: string[]): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'taskfold-counts-'))
  try {
    const files = logs.map((text, i) => {
      const file = path.join(folder, `${i}.txt`)
      writeFileSync(file, text)
      return file
    })
    return execFileSync(process.execPath, [script, String(status), ...files], { encoding: 'utf8' })
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('adds up ava and native tests', (t) => {
  t.is(
    count(0, '  ─\n\n  120 tests passed\n', 'native tests: 7 passed, 0 failed\n'),
    '127 passed, 0 failed\n',
  )
  t.is(
    count(1, '  2 tests failed\n  1 test passed\n', 'native tests: 1 passed, 1 failed\n'),
    '2 passed, 3 failed\n',
  )
  t.is(count(1, '  1 test passed\n  1 uncaught exception\n'), '1 passed, 1 failed\n')
})

test('reads the list where the summary names failures only, and crashed test files', (t) => {
  const log =
    '  ✔ a › one\n  ✘ [fail]: a › two\n  ✔ b › three (2s)\n  ✘ test/c.test.ts exited due to SIGSEGV\n  ─\n\n  1 test failed\n'
  t.is(count(1, log), '2 passed, 2 failed\n')
})

test('a failure that no test counted still counts', (t) => {
  t.is(count(1, '  5 tests passed\n', 'c++: fatal error\n'), '5 passed, 1 failed\n')
  t.is(count(1, ''), '0 passed, 1 failed\n')
})
