import { appendFileSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { finishedSteps } from '../../../lib/fold/finished-steps.js'
import { FoldJournal, JOURNAL_FILE, type JournalRecord, readJournal } from '../../../lib/fold/fold-journal.js'
import { loadSnapshot, SNAPSHOT_FILE, saveSnapshot } from '../../../lib/fold/selection-snapshot.js'
import { tempFolder } from '../../helpers/temp-folder.js'

const merged = (batch: number): JournalRecord => ({
  kind: 'merged',
  batch,
  merged: [`θ${batch}`],
  base: ['b'],
})

async function write(folder: string, digest: string, records: JournalRecord[]): Promise<void> {
  const { journal } = await FoldJournal.open(folder, digest)
  for (const record of records) await journal.append(record)
  await journal.close()
}

test('a journal gives back what was appended, over several runs', async (t) => {
  const folder = tempFolder(t)
  await write(folder, 'd', [merged(0), merged(1)])
  await write(folder, 'd', [merged(2)])
  const { journal, records, continued } = await FoldJournal.open(folder, 'd')
  await journal.close()
  t.true(continued)
  t.deepEqual(records, [merged(0), merged(1), merged(2)])
})

test('a journal of another plan is begun afresh', async (t) => {
  const folder = tempFolder(t)
  await write(folder, 'one', [merged(0)])
  const { journal, records, continued } = await FoldJournal.open(folder, 'two')
  await journal.close()
  t.false(continued)
  t.deepEqual(records, [])
  t.is((await readJournal(folder))!.digest, 'two')
})

test('a torn last line is ignored wherever it was torn, and the next run goes on behind the whole ones', async (t) => {
  const folder = tempFolder(t)
  const path = join(folder, JOURNAL_FILE)
  await write(folder, 'd', [merged(0)])
  const whole = readFileSync(path).length
  await write(folder, 'd', [merged(1)])
  const all = readFileSync(path)
  for (let length = whole; length < all.length; length++) {
    writeFileSync(path, all)
    truncateSync(path, length)
    t.deepEqual((await readJournal(folder))!.records, [merged(0)], `torn at byte ${length}`)
  }
  await write(folder, 'd', [merged(7)])
  t.deepEqual((await readJournal(folder))!.records, [merged(0), merged(7)])
})

test('a damaged line ends the journal', async (t) => {
  const folder = tempFolder(t)
  const path = join(folder, JOURNAL_FILE)
  await write(folder, 'd', [merged(0), merged(1), merged(2)])
  writeFileSync(path, readFileSync(path, 'utf8').replace('θ1', 'θ9'))
  t.deepEqual((await readJournal(folder))!.records, [merged(0)])
})

test('garbage and an empty file are no journal', async (t) => {
  const folder = tempFolder(t)
  t.is(await readJournal(folder), null)
  for (const text of ['', 'x', '{"kind":"plan"}\n', '\n\n']) {
    writeFileSync(join(folder, JOURNAL_FILE), text)
    t.is(await readJournal(folder), null)
  }
})

test('of a step that was done twice the last record counts', (t) => {
  const again: JournalRecord = { kind: 'merged', batch: 0, merged: ['new'], base: ['b'] }
  const { merged: steps, thresholds } = finishedSteps([merged(0), merged(1), again])
  t.deepEqual([...steps.keys()], [0, 1])
  t.deepEqual(steps.get(0)!.merged, ['new'])
  t.is(thresholds, null)
})

test('a snapshot comes back whole or not at all', async (t) => {
  const folder = tempFolder(t)
  const path = join(folder, SNAPSHOT_FILE)
  t.is(await loadSnapshot(folder, 'd'), null)
  const state = { pass: 1, next: 3, bytes: Uint8Array.from([1, 10, 255, 0]) }
  await saveSnapshot(folder, 'd', state)
  t.deepEqual(await loadSnapshot(folder, 'd'), state)
  t.is(await loadSnapshot(folder, 'other'), null)
  appendFileSync(path, 'x')
  t.is(await loadSnapshot(folder, 'd'), null)
  writeFileSync(path, 'x')
  t.is(await loadSnapshot(folder, 'd'), null)
})
