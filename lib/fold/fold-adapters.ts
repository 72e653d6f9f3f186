import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { decomposeBytes, writeResizedAdapter } from '../lora/write-adapter.js'
import { TASKS_FOLDER } from '../pack/pack-format.js'
import { type FoldRun, startPhase } from './fold-run.js'
import { packableFiles } from './packable-files.js'
import { ofTask } from './problems.js'

/**
 * Writes the LoRA tasks. They are small and the same every time, so a resumed fold writes them again.
 *
 * @param run - the fold
 * @throws TaskfoldError NON_FINITE, INVALID_ARGUMENT, INPUT_CHANGED, FILE_TRUNCATED, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function foldAdapters(run: FoldRun): Promise<void> {
  const { plan, signal, waitForDisk: sync } = run
  const { rankRule: rule, maxRank, threads } = plan.settings
  if (plan.adapters.length === 0) return
  const bytes = plan.adapters.map(({ adapter }) => decomposeBytes(adapter, rule))
  const total = bytes.reduce((sum, size) => sum + size, 0)
  const phase = startPhase(run, 'decompose', total)
  for (const [i, { name, adapter }] of plan.adapters.entries()) {
    const folder = join(run.work, TASKS_FOLDER, name)
    try {
      await rm(folder, { recursive: true, force: true })
      await mkdir(folder, { recursive: true })
      const packable = { ...adapter, otherFiles: packableFiles(adapter) }
      const options = { rule, maxRank, threads, signal, sync, onBytes: phase.running }
      run.adapterReports.set(name, await writeResizedAdapter(packable, folder, options))
    } catch (error) {
      throw ofTask(toTaskfoldError(error, { file: folder, action: 'write' }), name)
    }
    phase.finished(bytes[i]!, { task: name })
  }
  phase.done()
}
