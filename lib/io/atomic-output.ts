import { mkdir, rm, rmdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { type LockFile, takeLockFile } from './lock-file.js'
import { assertKeepsInputs, resolveOutputTarget, targetState } from './output-target.js'
import { recoverReplaced, replaceFolder } from './replace-folder.js'
import { syncEntries, syncFolder } from './sync-folder.js'

/** How an output folder is opened. */
export interface OutputFolderOptions {
  /** Replace an existing family or checkpoint. Default false. */
  force?: boolean
  /**
   * Keep what an earlier, interrupted run left in the partial folder, which the caller has recognised as its own.
   * Default false: it is emptied.
   */
  resume?: boolean
  /** Wait until the disk has everything before the folder gets its name. Default true. */
  sync?: boolean
  /** Paths that are read: an output that would replace one of them, or a folder that holds one, is refused. */
  inputs?: readonly string[]
}

/**
 * A folder that is being written beside its final name. Exactly one of commit, discard and keep ends it; after that
 * discard and keep do nothing, so that they may stand in a `finally`.
 */
export interface OutputFolder {
  /** Absolute path of the folder to write into. */
  readonly work: string
  /** Absolute path that it will have. */
  readonly final: string
  /** True when the partial folder of an earlier run was found and kept. */
  readonly resumed: boolean
  /** Makes everything permanent and gives the folder its final name. A signal stops it before that, not after. */
  commit(signal?: AbortSignal): Promise<void>
  /** Removes what was written. */
  discard(): Promise<void>
  /** Leaves the partial folder, unless it is empty, for a later run with `resume`. */
  keep(): Promise<void>
}

/**
 * Opens an output folder in `<final>.partial`, so that the final name never shows a half-written folder. A lock file
 * `<final>.partial.lock` keeps other processes away and marks the partial folder as ours.
 *
 * @param final - path that the folder shall have; missing parents are made
 * @param options - what may be replaced or kept
 * @returns the open folder
 * @throws TaskfoldError OUTPUT_EXISTS, OUTPUT_BUSY, INVALID_ARGUMENT, DISK_FULL, IO_ERROR
 */
export async function openOutputFolder(
  final: string,
  options: OutputFolderOptions = {},
): Promise<OutputFolder> {
  const target = await resolveOutputTarget(final)
  const work = `${target}.partial`
  for (const folder of [target, work]) await assertKeepsInputs(folder, options.inputs ?? [])
  // Asked before anything is made, so that a refusal leaves no trace, and again under the lock.
  await assertMayReplace(target, options.force ?? false)

  const firstMade = await makeParents(dirname(target))
  const parents = { folder: dirname(target), firstMade }
  let lock: LockFile | undefined
  try {
    lock = await takeLockFile(`${work}.lock`, target)
    await recoverReplaced(target, lock.tookOver)
    await assertMayReplace(target, options.force ?? false)
    const resumed = await prepareWork(work, target, lock.tookOver, options.resume ?? false)
    return new OpenOutputFolder(target, work, resumed, lock, parents, options.sync ?? true)
  } catch (error) {
    // A lock that was found marks the partial folder as ours; without it a later run would have to refuse that folder.
    await (lock?.tookOver ? lock.park() : lock?.release())
    await removeParents(parents)
    throw toTaskfoldError(error, { file: work, action: 'create the folder' })
  }
}

interface Parents {
  folder: string
  firstMade: string | undefined
}

class OpenOutputFolder implements OutputFolder {
  readonly work: string
  readonly final: string
  readonly resumed: boolean
  readonly #lock: LockFile
  readonly #parents: Parents
  readonly #sync: boolean
  #ended = false

  constructor(
    final: string,
    work: string,
    resumed: boolean,
    lock: LockFile,
    parents: Parents,
    sync: boolean,
  ) {
    this.final = final
    this.work = work
    this.resumed = resumed
    this.#lock = lock
    this.#parents = parents
    this.#sync = sync
  }

  async commit(signal?: AbortSignal): Promise<void> {
    if (this.#ended) throw new TaskfoldError('INTERNAL', `${this.final} was already committed or given up`)
    if (this.#sync) await syncFolder(this.work, signal)
    throwIfAborted(signal)
    await replaceFolder(this.work, this.final)
    this.#ended = true
    if (this.#sync) await syncEntries(dirname(this.final))
    await this.#lock.release()
  }

  async discard(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    try {
      await rm(this.work, { recursive: true, force: true })
      await this.#lock.release()
      await removeParents(this.#parents)
    } catch (error) {
      throw toTaskfoldError(error, { file: this.work, action: 'remove' })
    }
  }

  async keep(): Promise<void> {
    if (this.#ended) return
    if ((await targetState(this.work)) === 'empty') return this.discard()
    this.#ended = true
    await this.#lock.park()
  }
}

async function assertMayReplace(target: string, force: boolean): Promise<void> {
  const state = await targetState(target)
  if (state === 'absent' || state === 'empty') return
  if (state === 'file') {
    throw new TaskfoldError('OUTPUT_EXISTS', `${target} is a file, not a folder`, {
      file: target,
      hint: 'Choose another output folder.',
    })
  }
  if (state === 'foreign folder') {
    throw new TaskfoldError('OUTPUT_EXISTS', `${target} holds files that taskfold did not write`, {
      file: target,
      hint: 'Only families and checkpoints are ever replaced: choose another folder or empty it yourself.',
    })
  }
  if (!force) {
    throw new TaskfoldError('OUTPUT_EXISTS', `${target} already exists`, {
      file: target,
      hint: 'Choose another output folder, or replace it with --force (option force: true).',
    })
  }
}

/** Answers whether an earlier run's content is kept. */
async function prepareWork(work: string, target: string, ours: boolean, resume: boolean): Promise<boolean> {
  const state = await targetState(work)
  const hasContent = state === 'replaceable' || state === 'foreign folder'
  if (state === 'file' || (hasContent && !ours && !resume)) {
    throw new TaskfoldError('OUTPUT_EXISTS', `${work} is in the way and was not made by taskfold`, {
      file: work,
      hint: `Move it away, or choose another output than ${target}.`,
    })
  }
  if (state !== 'absent' && !resume) await rm(work, { recursive: true })
  await mkdir(work, { recursive: true })
  return resume && hasContent
}

async function makeParents(folder: string): Promise<string | undefined> {
  try {
    return await mkdir(folder, { recursive: true })
  } catch (error) {
    throw toTaskfoldError(error, { file: folder, action: 'create the folder' })
  }
}

/** Removes the parents that were made for this output, as long as they are empty. */
async function removeParents({ folder, firstMade }: Parents): Promise<void> {
  if (firstMade === undefined) return
  for (let path = folder; path.length >= firstMade.length; path = dirname(path)) {
    try {
      await rmdir(path)
    } catch {
      return
    }
  }
}
