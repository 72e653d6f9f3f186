import { spawnSync } from 'node:child_process'
import path from 'node:path'
import test from 'ava'

test('30 worker threads ended in the middle of native jobs do not abort the process', (t) => {
  const script = path.join(import.meta.dirname, 'worker-storm.mjs')
  const result = spawnSync(process.execPath, [script], { encoding: 'utf8' })
  t.is(result.signal, null, result.stderr)
  t.is(result.status, 0, result.stderr)
  // 1 + 0.3 · ((2 − 1) + (3 − 1))
  t.is(result.stdout.trim(), 'storm over, merged 1.9000')
})
