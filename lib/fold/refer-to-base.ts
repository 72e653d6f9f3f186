import { realpath } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { parseHubRepo } from '../checkpoint/hub-cache.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { resolveOutputTarget } from '../io/output-target.js'
import { parseBaseReference } from '../pack/base-reference.js'

/**
 * Whether a model was given as a path, not as a repository of the Hub.
 *
 * @param checkpoint - an opened model
 * @returns true for a path
 */
export function givenAsPath({ source, folder, files }: Checkpoint): boolean {
  const path = resolve(source)
  return path === folder || path === files[0]?.path || path === join(folder, basename(source))
}

/**
 * Says where a family finds its base: by a path from the family's folder, so that both can be moved together, or by
 * repository and commit.
 *
 * @param base - the opened base
 * @param output - where the family goes
 * @returns `base.reference` of the manifest
 * @throws TaskfoldError INVALID_ARGUMENT when the path cannot be written down
 */
export async function referToBase(base: Checkpoint, output: string): Promise<string> {
  const reference = givenAsPath(base) ? await wayTo(base, output) : repository(base)
  if (parseBaseReference(reference) !== null) return reference
  throw new TaskfoldError(
    'INVALID_ARGUMENT',
    `a family cannot refer to a base at ${JSON.stringify(reference)}`,
    {
      file: base.folder,
      hint: 'move the base to a path without control characters or backslashes, or copy it into the family (copyBase)',
    },
  )
}

async function wayTo(base: Checkpoint, output: string): Promise<string> {
  const path = resolve(base.source)
  try {
    // Its own link stays: it may lead to another place tomorrow, and still to the base.
    const from = join(await realpath(dirname(path)), basename(path))
    return relative(await resolveOutputTarget(output), from)
      .split(sep)
      .join('/')
  } catch (error) {
    throw toTaskfoldError(error, { file: path, action: 'resolve' })
  }
}

function repository({ source, folder }: Checkpoint): string {
  const repo = parseHubRepo(source)
  return repo === null ? source : `${repo.org}/${repo.name}@${basename(folder)}`
}
