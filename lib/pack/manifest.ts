import { join } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { readSmallFile } from '../io/read-small-file.js'
import { writeFileAtomic } from '../io/write-file-atomic.js'
import { invalid } from './json-fields.js'
import type { Manifest } from './manifest-types.js'
import { MANIFEST_FILE } from './pack-format.js'
import { sortedMap } from './sorted-map.js'
import { stableJson } from './stable-json.js'
import { parseStrictJson } from './strict-json.js'
import { validateManifest } from './validate-manifest.js'

export { validateManifest }

/** About a million tensors; V8 cannot hold strings much above 500 MB. */
const MAX_MANIFEST_BYTES = 256 * 1024 * 1024

/**
 * Reads and checks family.json.
 *
 * @param folder - the family's folder
 * @returns the checked manifest
 * @throws TaskfoldError NOT_A_FAMILY when it is not there, PACK_INVALID, PACK_VERSION, IO_ERROR
 */
export async function readManifest(folder: string): Promise<Manifest> {
  const file = join(folder, MANIFEST_FILE)
  const bytes = await readBytes(folder, file)
  const json = parseStrictJson(bytes, (problem) => invalid({ file }, problem))
  return validateManifest(json, folder)
}

/**
 * Writes family.json; its bytes depend on the manifest alone. Written last, it is what makes a folder a family.
 *
 * @param folder - the family's folder
 * @param manifest - checked before anything is written
 * @throws TaskfoldError PACK_INVALID when it contradicts the format, IO_ERROR, DISK_FULL
 */
export async function writeManifest(folder: string, manifest: Manifest): Promise<void> {
  validateManifest(manifest, folder)
  const { taskfold, method, base, merged, tasks } = manifest
  const ordered = {
    taskfold,
    method,
    base,
    merged: merged && { bytes: merged.bytes, files: merged.files, tensors: sortedMap(merged.tensors) },
    tasks: tasks.map((task) =>
      task.codec === 'lora'
        ? task
        : {
            ...task,
            metadata: sortedMap(task.metadata),
            shards: task.shards === undefined ? undefined : sortedMap(task.shards),
          },
    ),
  }
  await writeFileAtomic(join(folder, MANIFEST_FILE), `${stableJson(ordered, 2)}\n`)
}

async function readBytes(folder: string, file: string): Promise<Buffer> {
  try {
    return await readSmallFile(file, {
      maxBytes: MAX_MANIFEST_BYTES,
      tooLarge: (bytes) =>
        invalid({ file }, `${bytes} bytes are more than a manifest has (${MAX_MANIFEST_BYTES})`),
    })
  } catch (error) {
    const known = toTaskfoldError(error, { file, action: 'read' })
    if (known.code !== 'NOT_FOUND') throw known
    throw new TaskfoldError('NOT_A_FAMILY', `${folder} is no family: it has no ${MANIFEST_FILE}`, {
      file: folder,
      hint: 'give the folder that taskfold fold wrote; an unfinished one has no manifest yet',
      cause: error,
    })
  }
}
