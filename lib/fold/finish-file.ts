import { join } from 'node:path'
import type { PackFile } from '../pack/manifest-types.js'
import { type FoldRun, fingerprints } from './fold-run.js'

/**
 * Makes a finished output permanent, fingerprints it and records it.
 *
 * @param run - the fold
 * @param path - inside the family, with '/'
 * @param bytes - its length
 * @returns its entry for the manifest
 * @throws TaskfoldError IO_ERROR, DISK_FULL, CANCELLED
 */
export async function finishFile(run: FoldRun, path: string, bytes: number): Promise<PackFile> {
  const absolute = join(run.work, path)
  const file = run.files.output(absolute)
  const [fingerprint] = await fingerprints(run, [{ file, offset: 0, length: bytes }])
  await run.sync.finish(file, run.signal)
  const entry = { path, bytes, fingerprint: fingerprint! }
  await run.journal.append({ kind: 'file', ...entry })
  run.completeFiles.set(path, entry)
  return entry
}
