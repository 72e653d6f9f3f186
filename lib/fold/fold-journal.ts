import { createHash } from 'node:crypto'
import { type FileHandle, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EmittedTensor, Threshold } from '../binding/binding-types.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { ManifestLoss } from '../pack/manifest-types.js'

/** Name of the journal in the partial folder. */
export const JOURNAL_FILE = '.taskfold-journal'

/** One finished step of a fold. Batches are numbered as the plan numbers them, the same in every run of it. */
export type JournalRecord =
  | { kind: 'plan'; digest: string }
  /** A merge batch: fingerprints of θ* and θ0 by tensor; `thresholds` with scope tensor. */
  | { kind: 'merged'; batch: number; merged: string[]; base: string[]; thresholds?: Threshold[][] }
  /** Scope global: one exact threshold for each task. */
  | { kind: 'thresholds'; thresholds: Threshold[] }
  /** Tensors of merged/ that are not merged, and the rest of tables: fingerprints of whole tensors by name. */
  | { kind: 'copied'; merged: [string, string][]; base: [string, string][] }
  /** An emit batch of a task; the fingerprint is over the bytes it wrote. */
  | {
      kind: 'emitted'
      task: string
      batch: number
      tensors: EmittedTensor[]
      start: number
      offset: number
      ties: number
      fingerprint: string
    }
  /** A task with a stream codec, whose delta file is complete when its own record follows. */
  | { kind: 'coded'; task: string; kept: number; loss: ManifestLoss }
  /** A file that is complete and on the disk. */
  | { kind: 'file'; path: string; bytes: number; fingerprint: string }

/** Length of a line's checksum: hexadecimal digits of a SHA-256. */
const CHECKSUM_DIGITS = 16

/**
 * What a fold has finished, one line a step, so that a killed run goes on where it was. A torn last line is ignored.
 */
export class FoldJournal {
  readonly #handle: FileHandle
  readonly #path: string

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle
    this.#path = path
  }

  /**
   * Opens the journal of a partial folder, or begins one.
   *
   * @param folder - the partial folder
   * @param digest - of the plan
   * @returns the open journal, what an earlier run of the same plan finished, and whether there was one
   * @throws TaskfoldError IO_ERROR, DISK_FULL
   */
  static async open(
    folder: string,
    digest: string,
  ): Promise<{ journal: FoldJournal; records: JournalRecord[]; continued: boolean }> {
    const path = join(folder, JOURNAL_FILE)
    try {
      const found = await readJournal(folder)
      const same = found !== null && found.digest === digest
      const handle = await open(path, same ? 'r+' : 'w')
      const journal = new FoldJournal(handle, path)
      if (same) await handle.truncate(found.validBytes)
      else await journal.append({ kind: 'plan', digest })
      return { journal, records: same ? found.records : [], continued: same }
    } catch (error) {
      throw toTaskfoldError(error, { file: path, action: 'write' })
    }
  }

  /**
   * Adds a finished step.
   *
   * @param record - what was finished
   * @throws TaskfoldError IO_ERROR, DISK_FULL
   */
  async append(record: JournalRecord): Promise<void> {
    const json = JSON.stringify(record)
    try {
      const { size } = await this.#handle.stat()
      await this.#handle.write(`${checksum(json)} ${json}\n`, size)
    } catch (error) {
      throw toTaskfoldError(error, { file: this.#path, action: 'write' })
    }
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.#handle.close()
  }
}

/**
 * Reads a journal up to the first line that is not whole.
 *
 * @param folder - a partial folder, existing or not
 * @returns the plan's digest, the steps, and the bytes of the lines that are whole; null when there is no journal
 */
export async function readJournal(
  folder: string,
): Promise<{ digest: string; records: JournalRecord[]; validBytes: number } | null> {
  let text: string
  try {
    text = await readFile(join(folder, JOURNAL_FILE), 'utf8')
  } catch {
    return null
  }
  const records: JournalRecord[] = []
  let validBytes = 0
  for (const line of text.split('\n').slice(0, -1)) {
    const json = line.slice(CHECKSUM_DIGITS + 1)
    if (line.slice(0, CHECKSUM_DIGITS) !== checksum(json) || line[CHECKSUM_DIGITS] !== ' ') break
    records.push(JSON.parse(json) as JournalRecord)
    validBytes += Buffer.byteLength(line) + 1
  }
  const first = records.shift()
  return first?.kind === 'plan' ? { digest: first.digest, records, validBytes } : null
}

function checksum(json: string): string {
  return createHash('sha256').update(json).digest('hex').slice(0, CHECKSUM_DIGITS)
}
