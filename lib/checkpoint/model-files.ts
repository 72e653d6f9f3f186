import { constants, type Dirent } from 'node:fs'
import { chmod, copyFile, mkdir, readdir, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { Checkpoint } from './checkpoint-types.js'
import { isModelFile, isModelFolder } from './model-file-rules.js'
import { sortNames } from './names.js'

/** Model repositories nest two levels at most; deeper folders are something else and stay out. */
const MAX_DEPTH = 4
/** Model repositories have tens of files; thousands mean that the folder is a data set, a disk or a home. */
const MAX_FILES = 10_000

/**
 * Lists the files that belong to a model besides its weights: configs, tokenizer, code, README, nested folders of them.
 * Symbolic links to files count as files (the Hugging Face cache is made of them); links to folders are left out.
 *
 * @param folder - the model's folder
 * @returns relative names with '/', in bytewise order
 * @throws TaskfoldError NOT_A_CHECKPOINT when there are more than 10 000, IO_ERROR
 */
export async function listModelFiles(folder: string): Promise<string[]> {
  const names: string[] = []
  await collect(folder, '', 0, names)
  return sortNames(names)
}

async function collect(root: string, below: string, depth: number, names: string[]): Promise<void> {
  let entries: Dirent[]
  try {
    entries = await readdir(join(root, below), { withFileTypes: true })
  } catch (error) {
    throw toTaskfoldError(error, { file: join(root, below), action: 'list' })
  }
  for (const entry of entries) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.isDirectory()) {
      if (depth < MAX_DEPTH && isModelFolder(entry.name)) await collect(root, name, depth + 1, names)
      continue
    }
    if (!isModelFile(entry.name)) continue
    if (!entry.isFile() && !(entry.isSymbolicLink() && (await isNoFolder(join(root, name))))) continue
    if (names.length === MAX_FILES) {
      throw new TaskfoldError(
        'NOT_A_CHECKPOINT',
        `${root} holds more than ${MAX_FILES} files besides weights`,
        {
          file: root,
          hint: 'Give a folder that holds one model only, or its .safetensors file alone.',
        },
      )
    }
    names.push(name)
  }
}

/** A link that leads nowhere stays in the list, so that copying it says which file is missing. */
async function isNoFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isFile(),
    () => true,
  )
}

/** Which files are copied, and how to stop. */
export interface CopyModelFilesOptions {
  /** Names to copy, by default all `otherFiles` of the checkpoint. */
  names?: readonly string[]
  /** Stops between two files. */
  signal?: AbortSignal
}

/**
 * Copies a model's other files (configs, tokenizer, …) into another folder. Links are copied as what they lead to.
 *
 * @param checkpoint - where they are
 * @param folder - where they go; files of the same names are replaced, folders are made
 * @param options - which of them
 * @throws TaskfoldError INVALID_ARGUMENT for a name that leads out of the folder, NOT_FOUND for a link that leads
 * nowhere, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function copyModelFiles(
  checkpoint: Pick<Checkpoint, 'folder' | 'otherFiles'>,
  folder: string,
  options: CopyModelFilesOptions = {},
): Promise<void> {
  const names = options.names ?? checkpoint.otherFiles
  for (const name of names) assertInside(name, checkpoint.folder)
  for (const name of names) {
    throwIfAborted(options.signal)
    const from = join(checkpoint.folder, name)
    const to = join(folder, name)
    try {
      const stats = await stat(from)
      if (!stats.isFile()) throw notAFile(from)
      await mkdir(dirname(to), { recursive: true })
      await copyFile(from, to, constants.COPYFILE_FICLONE)
      // Files of a cache are often read-only; a copy must be replaceable by its owner.
      if ((stats.mode & 0o200) === 0) await chmod(to, (stats.mode & 0o777) | 0o200)
    } catch (error) {
      throw toTaskfoldError(error, { file: from, action: `copy to ${folder}` })
    }
  }
}

function notAFile(path: string): TaskfoldError {
  return new TaskfoldError('IO_ERROR', `${path} is not a regular file`, { file: path })
}

function assertInside(name: string, folder: string): void {
  const parts = name.split('/')
  if (
    isAbsolute(name) ||
    name.includes('\0') ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  ) {
    throw new TaskfoldError('INVALID_ARGUMENT', `${quoteName(name)} is not a file inside ${folder}`, {
      file: folder,
      hint: 'Give names relative to the folder, without . and .. parts.',
    })
  }
}
