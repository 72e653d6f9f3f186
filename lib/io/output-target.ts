import { lstat, readdir, realpath } from 'node:fs/promises'
import { dirname, relative, resolve, sep } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'

/**
 * Absolute path that an output folder will really have: symbolic links resolved as far as they exist.
 *
 * @param final - what the caller asked for
 * @returns absolute path without a trailing slash
 * @throws TaskfoldError INVALID_ARGUMENT for the root, the current folder or one above it; OUTPUT_EXISTS for a
 * symbolic link that leads nowhere; IO_ERROR
 */
export async function resolveOutputTarget(final: string): Promise<string> {
  if (final === '' || final.includes('\0')) {
    throw new TaskfoldError('INVALID_ARGUMENT', `the output ${JSON.stringify(final)} is not a path`, {
      hint: 'Give the path of a folder.',
    })
  }
  const target = await resolveLinks(resolve(final))
  if (isInside(await resolveLinks(process.cwd()), target)) {
    throw new TaskfoldError('INVALID_ARGUMENT', `the output ${final} is the current folder or holds it`, {
      file: target,
      hint: 'Give the name of a new folder.',
    })
  }
  return target
}

/**
 * Refuses an output that would replace an input or a folder that holds one.
 *
 * @param target - what {@link resolveOutputTarget} gave
 * @param inputs - paths of files and folders that are read
 * @throws TaskfoldError INVALID_ARGUMENT naming the input
 */
export async function assertKeepsInputs(target: string, inputs: readonly string[]): Promise<void> {
  for (const input of inputs) {
    if (isInside(await resolveLinks(resolve(input)), target)) {
      throw new TaskfoldError('INVALID_ARGUMENT', `the output ${target} would replace the input ${input}`, {
        file: target,
        hint: 'Inputs are never changed: choose another output folder.',
      })
    }
  }
}

/** What lies at the target now. `replaceable`: something that an earlier run may have written. */
export type TargetState = 'absent' | 'empty' | 'replaceable' | 'foreign folder' | 'file'

/**
 * Looks at what an output would replace. Only an empty folder, a family or a checkpoint may ever be replaced: anything
 * else was not made by taskfold, and deleting it could be a disaster.
 *
 * @param target - what {@link resolveOutputTarget} gave
 * @returns what lies there
 * @throws TaskfoldError IO_ERROR
 */
export async function targetState(target: string): Promise<TargetState> {
  try {
    if (!(await lstat(target)).isDirectory()) return 'file'
    const names = await readdir(target)
    if (names.length === 0) return 'empty'
    const ours = names.some((name) => name === 'family.json' || name.endsWith('.safetensors'))
    return ours ? 'replaceable' : 'foreign folder'
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'absent'
    throw toTaskfoldError(error, { file: target, action: 'look into' })
  }
}

function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path)
  return way !== '..' && !way.startsWith(`..${sep}`) && resolve(folder, way) === path
}

async function resolveLinks(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOENT') throw toTaskfoldError(error, { file: path, action: 'resolve' })
    const link = await lstat(path).then(
      (stats) => stats.isSymbolicLink(),
      () => false,
    )
    if (link) {
      throw new TaskfoldError('OUTPUT_EXISTS', `${path} is a symbolic link that leads nowhere`, {
        file: path,
        hint: 'Remove the link or choose another path.',
      })
    }
    const parent = dirname(path)
    if (parent === path) return path
    return resolve(await resolveLinks(parent), path.slice(parent.length).replace(/^[/\\]+/, ''))
  }
}
