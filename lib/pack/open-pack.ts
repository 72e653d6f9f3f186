import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { familyFiles } from './family-files.js'
import { invalid } from './json-fields.js'
import { readManifest } from './manifest.js'
import type { Manifest, ManifestMerged, ManifestTask, PackFile } from './manifest-types.js'
import { openTask } from './open-task.js'
import { BASE_FOLDER, MANIFEST_FILE, MERGED_FOLDER } from './pack-format.js'
import type { Pack, PackTask } from './pack-types.js'

/** Options of {@link openPack}. */
export interface OpenPackOptions {
  /** Stops between two files. */
  signal?: AbortSignal
  /** Collects files that are missing or of another size, instead of the first one being thrown. */
  problems?: TaskfoldError[]
}

/**
 * Opens a family: checks its manifest, that all its files are there with their sizes, and the headers of merged/ and
 * base/. Tasks are opened on first use. No tensor is read.
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
  for (const file of familyFiles(manifest)) {
    throwIfAborted(signal)
    const problem = await checkSize(root, file)
    if (problem === null) continue
    if (problems === undefined) throw problem
    problems.push(problem)
  }
  const merged = await openMerged(root, manifest.merged, signal)
  const base = await openBase(root, manifest.base.files, signal)
  const tasks = new Map<string, Promise<PackTask>>()
  const entry = (name: string) => findEntry(manifest, name, root)
  return {
    folder: root,
    manifest,
    merged,
    base,
    entry,
    async task(name) {
      const found = entry(name)
      if (found.codec === 'lora' || merged === null) {
        throw new TaskfoldError('INVALID_ARGUMENT', `${root}: task '${name}' is a LoRA task, not a delta`, {
          file: root,
          task: name,
        })
      }
      const opened = tasks.get(name) ?? openTask(root, found, merged)
      tasks.set(name, opened)
      return opened
    },
  }
}

function findEntry(manifest: Manifest, name: string, root: string): ManifestTask {
  const entry = manifest.tasks.find((task) => task.name === name)
  if (entry !== undefined) return entry
  const known = manifest.tasks.map((task) => task.name).join(', ') || 'none'
  throw new TaskfoldError('NOT_FOUND', `${root} has no task '${name}'; its tasks: ${known}`, {
    file: root,
    task: name,
    hint: 'give one of its tasks',
  })
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

async function openMerged(
  root: string,
  listed: ManifestMerged | undefined,
  signal: AbortSignal | undefined,
): Promise<Checkpoint | null> {
  if (listed === undefined) return null
  const merged = await readCheckpoint(join(root, MERGED_FOLDER), { signal })
  const file = join(root, MANIFEST_FILE)
  checkListed(merged, listed.files, MERGED_FOLDER, file)
  for (const tensor of merged.tensors.keys()) {
    if (!Object.hasOwn(listed.tensors, tensor)) {
      throw invalid({ file, tensor }, 'merged.tensors has no fingerprint of it')
    }
  }
  for (const tensor of Object.keys(listed.tensors)) {
    if (!merged.tensors.has(tensor)) throw invalid({ file, tensor }, `${MERGED_FOLDER}/ does not have it`)
  }
  return merged
}

async function openBase(
  root: string,
  listed: readonly PackFile[] | undefined,
  signal: AbortSignal | undefined,
): Promise<Checkpoint | null> {
  if (listed === undefined) return null
  const base = await readCheckpoint(join(root, BASE_FOLDER), { signal })
  checkListed(base, listed, BASE_FOLDER, join(root, MANIFEST_FILE))
  return base
}

/** Weights that no fingerprint vouches for are not part of the family. */
function checkListed(
  checkpoint: Checkpoint,
  listed: readonly PackFile[],
  folder: string,
  file: string,
): void {
  const paths = new Set(listed.map((entry) => entry.path))
  for (const { name } of checkpoint.files) {
    if (!paths.has(`${folder}/${name}`)) throw invalid({ file }, `it does not list ${folder}/${name}`)
  }
}
