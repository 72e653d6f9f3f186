import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'ava'

const root = path.join(import.meta.dirname, '..', '..', '..')
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')

for (const module of ['Node16', 'NodeNext']) {
  test(`types resolve for ES modules and CommonJS with module ${module}`, (t) => {
    const consumer = mkdtempSync(path.join(tmpdir(), 'taskfold-types-'))
    t.teardown(() => rmSync(consumer, { recursive: true }))
    cpSync(path.join(root, 'test', 'types'), consumer, { recursive: true })
    mkdirSync(path.join(consumer, 'node_modules'))
    symlinkSync(root, path.join(consumer, 'node_modules', 'taskfold'))
    // A Node project has them; AbortSignal comes from there.
    symlinkSync(path.join(root, 'node_modules', '@types'), path.join(consumer, 'node_modules', '@types'))
    const args = [tsc, '-p', consumer, '--module', module, '--moduleResolution', module]
    const result = spawnSync(process.execPath, args, { encoding: 'utf8' })
    t.is(result.stdout, '')
    t.is(result.status, 0)
  })
}
