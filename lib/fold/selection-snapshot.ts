import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { writeFileAtomic } from '../io/write-file-atomic.js'

/** Name of the selection's state in the partial folder. */
export const SNAPSHOT_FILE = '.taskfold-selection'

/** Where a selection stands: batches before `next` of pass `pass` are counted. */
export interface SelectionPosition {
  /** 0: the merge, which counts too; then the extra counting passes. */
  pass: number
  next: number
}

/** A selection's state with its place in the passes. */
export interface SelectionState extends SelectionPosition {
  bytes: Uint8Array
}

/**
 * Stores the state of a selection, replacing the earlier one in one step.
 *
 * @param folder - the partial folder
 * @param digest - of the plan
 * @param state - as the selection gave it
 * @throws TaskfoldError IO_ERROR, DISK_FULL
 */
export async function saveSnapshot(folder: string, digest: string, state: SelectionState): Promise<void> {
  const { pass, next, bytes } = state
  const header = JSON.stringify({ digest, pass, next, checksum: await checksum(bytes) })
  await writeFileAtomic(join(folder, SNAPSHOT_FILE), Buffer.concat([Buffer.from(`${header}\n`), bytes]), {
    sync: false,
  })
}

/**
 * Reads the state of a selection back.
 *
 * @param folder - the partial folder
 * @param digest - of the plan
 * @returns the state; null when there is none, or it is another plan's or damaged
 */
export async function loadSnapshot(folder: string, digest: string): Promise<SelectionState | null> {
  try {
    const data = await readFile(join(folder, SNAPSHOT_FILE))
    const end = data.indexOf('\n')
    const header = JSON.parse(data.toString('utf8', 0, end)) as Record<string, unknown>
    const bytes = data.subarray(end + 1)
    if (header.digest !== digest || header.checksum !== (await checksum(bytes))) return null
    return { pass: Number(header.pass), next: Number(header.next), bytes: new Uint8Array(bytes) }
  } catch {
    return null
  }
}

/** Made by the engine: a snapshot has a few hundred kilobytes for each task and is taken after every batch. */
async function checksum(bytes: Uint8Array): Promise<string> {
  const regions = [bytes]
  const [found] = await callNative((control) => native().fingerprintRegions({ regions }, control))
  return found!
}
