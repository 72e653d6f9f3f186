import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { invalid } from './json-fields.js'
import { readManifest } from './manifest.js'
import { openTask } from './open-task.js'
import { MANIFEST_FILE, type Manifest, MERGED_FOLDER, type PackFile } from './pack-format.js'
import type { Pack, PackTask } from './pack-types.js'

/** Options of {@link openPack}. */
export interface OpenPackOptions {
  /** Stops between two files. */
  signal?: AbortSignal
  /** Collects files that are missing or of another size, instead of the first one being thrown. */
  problems?: TaskfoldError[]
}

/**
 * Opens a family: checks its manifest, that all its files are there with their sizes, and merged/'s headers. Tasks are
 * opened on first use. No tensor is read.
 *
 * @param folder - the family's folder
 * @param options - signal, and where to collect problems with files
 * @returns the open family
 * @throws TaskfoldError NOT_A_FAMILY, PACK_INVALID, PACK_VERSION, CANCELLED, or a code of the safetensors checks
 */
export async function openPack(folder: string, options: OpenPackOptions = {}): Promise<Pack> {
  const { signal, problems } = options
  const root = resolve(folder)
  const manifest = await readManifest(root)
  for (const file of [...manifest.merged.files, ...manifest.tasks.flatMap((task) => task.files)]) {
    throwIfAborted(signal)
    const problem = await checkSize(root, file)
    if (problem === null) continue
    if (problems === undefined) throw problem
    problems.push(problem)
  }
  const merged = await readCheckpoint(join(root, MERGED_FOLDER), { signal })
  checkMerged(merged, manifest, join(root, MANIFEST_FILE))
  const tasks = new Map<string, Promise<PackTask>>()
  return {
    folder: root,
    manifest,
    merged,
    async task(name) {
      const entry = manifest.tasks.find((task) => task.name === name)
      if (entry === undefined) {
        const known = manifest.tasks.map((task) => task.name).join(', ') || 'none'
        throw new TaskfoldError('NOT_FOUND', `${root} has no task '${name}'; its tasks: ${known}`, {
          file: root,
          task: name,
          hint: 'give one of its tasks',
        })
      }
      const opened = tasks.get(name) ?? openTask(root, entry, merged)
      tasks.set(name, opened)
      return opened
    },
  }
}

async function checkSize(root: string, file: PackFile): Promise<TaskfoldError | null> {
  const path = join(root, file.path)
  try {
    const found = await stat(path)
    if (!found.isFile()) return invalid({ file: path }, 'it is no regular file')
    if (found.size === file.bytes) return null
    return invalid({ file: path }, `it has ${found.size} bytes, but ${MANIFEST_FILE} says ${file.bytes}`)
  } catch (error) {
    const known = toTaskfoldError(error, { file: path, action: 'read' })
    return known.code === 'NOT_FOUND'
      ? invalid({ file: path }, `it is missing, but ${MANIFEST_FILE} lists it`)
      : known
  }
}

function checkMerged(merged: Checkpoint, manifest: Manifest, file: string): void {
  const listed = new Set(manifest.merged.files.map((entry) => entry.path))
  for (const shard of merged.files) {
    if (!listed.has(`${MERGED_FOLDER}/${shard.name}`)) {
      throw invalid({ file }, `it does not list ${MERGED_FOLDER}/${shard.name}`)
    }
  }
  for (const tensor of merged.tensors.keys()) {
    if (!Object.hasOwn(manifest.merged.tensors, tensor)) {
      throw invalid({ file, tensor }, 'merged.tensors has no fingerprint of it')
    }
  }
  for (const tensor of Object.keys(manifest.merged.tensors)) {
    if (!merged.tensors.has(tensor)) throw invalid({ file, tensor }, `${MERGED_FOLDER}/ does not have it`)
  }
}
