import type { JournalRecord } from './fold-journal.js'

type RecordOf<Kind extends JournalRecord['kind']> = Extract<JournalRecord, { kind: Kind }>

/** The journal of an earlier run, by step. When a step was done twice, the last record counts. */
export interface FinishedSteps {
  merged: ReadonlyMap<number, RecordOf<'merged'>>
  thresholds: RecordOf<'thresholds'> | null
  copied: RecordOf<'copied'> | null
  /** By task, then by batch. */
  emitted: ReadonlyMap<string, ReadonlyMap<number, RecordOf<'emitted'>>>
  /** Tasks with a stream codec, by name. */
  coded: ReadonlyMap<string, RecordOf<'coded'>>
  /** By path inside the family. */
  files: ReadonlyMap<string, RecordOf<'file'>>
}

/**
 * Sorts the records of a journal.
 *
 * @param records - in the order in which they were written
 * @returns the steps that were finished
 */
export function finishedSteps(records: readonly JournalRecord[]): FinishedSteps {
  const merged = new Map<number, RecordOf<'merged'>>()
  const emitted = new Map<string, Map<number, RecordOf<'emitted'>>>()
  const coded = new Map<string, RecordOf<'coded'>>()
  const files = new Map<string, RecordOf<'file'>>()
  let thresholds: RecordOf<'thresholds'> | null = null
  let copied: RecordOf<'copied'> | null = null
  for (const record of records) {
    if (record.kind === 'merged') merged.set(record.batch, record)
    else if (record.kind === 'thresholds') thresholds = record
    else if (record.kind === 'copied') copied = record
    else if (record.kind === 'coded') coded.set(record.task, record)
    else if (record.kind === 'file') files.set(record.path, record)
    else if (record.kind === 'emitted') {
      const batches = emitted.get(record.task) ?? new Map<number, RecordOf<'emitted'>>()
      emitted.set(record.task, batches.set(record.batch, record))
    }
  }
  return { merged, thresholds, copied, emitted, coded, files }
}
