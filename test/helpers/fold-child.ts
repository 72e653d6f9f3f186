// Folds in a process of its own that can be told to die: node --import=tsx fold-child.ts OPTIONS KILL_AT
// OPTIONS is JSON; KILL_AT is the journal record before ('-3') or after ('3') which the process kills itself, or ''.
import { fold } from '../../lib/fold/fold.js'
import { FoldJournal, type JournalRecord } from '../../lib/fold/fold-journal.js'

const [options = '{}', killAt = ''] = process.argv.slice(2)

function die(): void {
  process.kill(process.pid, 'SIGKILL')
  // The signal is delivered before this loop ends.
  for (;;);
}

if (killAt !== '') {
  const append = FoldJournal.prototype.append
  let records = 0
  FoldJournal.prototype.append = async function (this: FoldJournal, record: JournalRecord) {
    records += 1
    if (records === -Number(killAt)) die()
    await append.call(this, record)
    if (records === Number(killAt)) die()
  }
}
const result = await fold(JSON.parse(options))
process.stdout.write(JSON.stringify(result.resumed))
