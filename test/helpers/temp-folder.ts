import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'

/** Makes an empty folder that is removed when the test ends, however it ends. */
export function tempFolder(t: ExecutionContext<unknown>): string {
  const folder = mkdtempSync(join(tmpdir(), 'taskfold-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
