import { copyFile, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { copyModelFiles } from '../checkpoint/model-files.js'
import { INDEX_FILE } from '../checkpoint/shard-index.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { byteBatches } from '../io/byte-batches.js'
import { BASE_FOLDER } from '../pack/pack-format.js'
import { finishFile } from './finish-file.js'
import { type FoldRun, fingerprints, runJob, startPhase } from './fold-run.js'
import { packableFiles } from './packable-files.js'

/** One native call: seconds at most, so that a killed fold loses little. */
const BATCH_BYTES = 512 * 1024 * 1024
const BATCH_TENSORS = 1024

/**
 * Fingerprints every tensor of the base, for families without θ*: a merge reads the base anyway.
 *
 * @param run - the fold
 * @throws TaskfoldError FILE_TRUNCATED, IO_ERROR, CANCELLED
 */
export async function fingerprintBase(run: FoldRun): Promise<void> {
  const { base } = run.plan.inputs
  if (run.finished.copied !== null) {
    for (const [name, fingerprint] of run.finished.copied.base) run.baseFingerprints.set(name, fingerprint)
    return
  }
  const phase = startPhase(run, 'fingerprint', base.totalBytes)
  const limits = {
    bytes: BATCH_BYTES,
    items: BATCH_TENSORS,
    sizeOf: ({ length }: { length: number }) => length,
  }
  for (const batch of byteBatches(base.tensors.values(), limits)) {
    const regions = batch.map((tensor) => run.files.region(tensor))
    const found = await fingerprints(run, regions, phase)
    for (const [i, { name }] of batch.entries()) run.baseFingerprints.set(name, found[i]!)
    const bytes = batch.reduce((sum, { length }) => sum + length, 0)
    phase.finished(bytes, { tensor: batch.at(-1)!.name })
  }
  await run.journal.append({ kind: 'copied', merged: [], base: [...run.baseFingerprints] })
  phase.done()
}

/**
 * Copies the base into the family, byte for byte.
 *
 * @param run - the fold
 * @throws TaskfoldError FILE_TRUNCATED, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function copyBase(run: FoldRun): Promise<void> {
  const { base } = run.plan.inputs
  const folder = join(run.work, BASE_FOLDER)
  await mkdir(folder, { recursive: true })
  const phase = startPhase(
    run,
    'copy',
    base.files.reduce((sum, file) => sum + file.size, 0),
  )
  for (const { path, name, size } of base.files) {
    const inside = `${BASE_FOLDER}/${name}`
    if (!run.completeFiles.has(inside)) await copyShard(run, path, inside, size, phase)
    phase.finished(size)
  }
  if (base.sharded) {
    const from = join(base.folder, INDEX_FILE)
    await copyFile(from, join(folder, INDEX_FILE)).catch((error) => {
      throw toTaskfoldError(error, { file: from, action: 'copy' })
    })
  }
  await copyModelFiles(base, folder, { names: packableFiles(base), signal: run.signal })
  phase.done()
}

async function copyShard(
  run: FoldRun,
  path: string,
  inside: string,
  length: number,
  phase: ReturnType<typeof startPhase>,
): Promise<void> {
  const target = join(run.work, inside)
  const out = run.files.output(target)
  const from = { file: run.files.input(path), offset: 0, length }
  await runJob(
    run,
    async (binding, control) => {
      await binding.allocateFile(out, length)
      const copies = [{ name: inside, from, to: { file: out, offset: 0, length } }]
      await binding.copyRegions({ copies }, control)
    },
    { phase },
  )
  await finishFile(run, inside, length)
  run.files.release(target)
}
