import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { FileRange } from '../pack/pack-types.js'

/** Bytes and what their fingerprint must be. */
export interface ExpectedFingerprint {
  range: FileRange
  fingerprint: string
  /** Tensor that they are, if they are one. */
  tensor?: string
  task?: string
  /** What is wrong when they differ, after the file's name. */
  problem: string
}

/** What the checks of a verification share. */
export interface VerifyRun {
  files: NativeFiles
  problems: TaskfoldError[]
  signal?: AbortSignal
  threads?: number
  /** Counts bytes read. */
  add: (bytes: number, place?: { task?: string; tensor?: string }) => void
}

/** One native call: a few seconds at most on a slow disk, and hundreds of small tensors at once. */
const BATCH_BYTES = 512 * 1024 * 1024
const BATCH_REGIONS = 512

/**
 * Reads bytes again and compares their fingerprints; every difference becomes a problem.
 *
 * @param expected - bytes and fingerprints
 * @param run - where problems and progress go
 * @throws TaskfoldError CANCELLED, IO_ERROR, FILE_TRUNCATED
 */
export async function verifyFingerprints(
  expected: readonly ExpectedFingerprint[],
  run: VerifyRun,
): Promise<void> {
  for (let start = 0; start < expected.length; ) {
    let bytes = 0
    let end = start
    while (end < expected.length && end - start < BATCH_REGIONS && (end === start || bytes < BATCH_BYTES)) {
      bytes += expected[end++]!.range.length
    }
    const batch = expected.slice(start, end)
    const found = await fingerprints(batch, run)
    for (const [i, { range, fingerprint, tensor, task, problem }] of batch.entries()) {
      if (found[i] === fingerprint) continue
      const details = { file: range.file, tensor, task, hint: 'fetch or fold the family again' }
      run.problems.push(
        new TaskfoldError(
          'HASH_MISMATCH',
          `${range.file}: ${problem} (fingerprint ${found[i]}, recorded ${fingerprint})`,
          details,
        ),
      )
    }
    start = end
  }
}

async function fingerprints(batch: readonly ExpectedFingerprint[], run: VerifyRun): Promise<string[]> {
  const regions = batch.map(({ range }) => run.files.region(range))
  const first = batch[0]!
  const place = { task: first.task, tensor: first.tensor }
  let shown = 0
  const onProgress = (bytes: number) => {
    run.add(bytes - shown, place)
    shown = bytes
  }
  const result = await callNative((control) => native().fingerprintRegions({ regions }, control), {
    signal: run.signal,
    threads: run.threads,
    onProgress,
    context: { file: first.range.file, task: first.task },
  })
  onProgress(batch.reduce((sum, { range }) => sum + range.length, 0))
  return result
}
