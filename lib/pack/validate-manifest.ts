import { join } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { isDeltaFile } from './delta-names.js'
import { invalid, JsonFields } from './json-fields.js'
import {
  FORMAT_VERSION,
  MANIFEST_FILE,
  type Manifest,
  type ManifestTask,
  MERGED_FOLDER,
  type PackFile,
  type PackSource,
  TASKS_FOLDER,
} from './pack-format.js'
import { isPackPath } from './pack-path.js'
import { isTaskName } from './task-name.js'

const FINGERPRINT = /^[0-9a-f]{32}$/
/** The unfolded folder's weights are made, never copied: a loader could prefer a copied file, and pickles run code. */
const WEIGHT_FILE = /\.(safetensors|bin|pt|pth|ckpt|pkl|pickle|h5|msgpack|gguf|npz)$|\.index\.json$/i

/**
 * Checks family.json field by field; nothing in it is trusted.
 *
 * @param json - the parsed document, of any type
 * @param folder - the family's folder, for messages
 * @returns the manifest, rebuilt from checked values only; its maps have no prototype
 * @throws TaskfoldError PACK_INVALID, or PACK_VERSION when a newer release wrote it; both name the file and field
 */
export function validateManifest(json: unknown, folder: string): Manifest {
  const file = join(folder, MANIFEST_FILE)
  const fields = new JsonFields(json, '', { file })
  const versions = fields.object('taskfold')
  const format = versions.count('format')
  if (format > FORMAT_VERSION) throw newerVersion(file, `format ${format}`)
  if (format < 1) throw versions.wrong('format', `from 1 to ${FORMAT_VERSION}`)
  const method = fields.object('method')
  const manifest: Manifest = {
    taskfold: { format, version: versions.string('version') },
    method: {
      merge: method.oneOf('merge', ['task-arithmetic']),
      lambda: method.number('lambda', -3.5e38, 3.5e38),
      density: method.number('density', 0, 1),
      scope: method.oneOf('scope', ['global', 'tensor']),
      nonFinite: method.oneOf('nonFinite', ['error', 'keep']),
      dtype: method.oneOf('dtype', ['keep', 'F32', 'F16', 'BF16']),
    },
    base: source(fields.object('base')),
    merged: validateMerged(fields.object('merged'), file),
    tasks: [],
  }
  const seen = new Set<string>()
  for (const item of fields.items('tasks')) {
    const task = validateTask(item, manifest.merged.files, file)
    const key = task.name.toLowerCase()
    if (seen.has(key)) throw invalid({ file, task: task.name }, `task '${task.name}' is listed twice`)
    seen.add(key)
    manifest.tasks.push(task)
  }
  return manifest
}

/**
 * An error about a pack of a newer release.
 *
 * @param file - path of the file that says so
 * @param found - what this release does not know
 * @returns PACK_VERSION to throw
 */
export function newerVersion(file: string, found: string): TaskfoldError {
  return new TaskfoldError(
    'PACK_VERSION',
    `${file}: ${found} is not known to this release (format ${FORMAT_VERSION})`,
    {
      file,
      hint: 'install a newer taskfold to read this family',
    },
  )
}

function validateMerged(fields: JsonFields, file: string): Manifest['merged'] {
  const files = packFiles(fields, `${MERGED_FOLDER}/`)
  const tensors = fields.stringMap('tensors')
  for (const [tensor, fingerprint] of Object.entries(tensors)) {
    if (!FINGERPRINT.test(fingerprint)) {
      throw invalid({ file, tensor }, 'its fingerprint in merged.tensors is not 32 lower-case hex digits')
    }
  }
  return { bytes: sumOfFiles(fields, files), files, tensors }
}

function validateTask(fields: JsonFields, mergedFiles: PackFile[], file: string): ManifestTask {
  const name = fields.string('name')
  if (!isTaskName(name)) throw fields.wrong('name', 'a task name ([A-Za-z0-9._-]{1,64}, no dot in front)')
  // Unknown codecs come from newer releases, so they get their own code before anything else is read.
  const codec = fields.string('codec')
  if (codec !== 'exact') throw newerVersion(file, `codec '${codec.slice(0, 40)}' of task '${name}'`)
  const files = packFiles(fields, `${TASKS_FOLDER}/${name}/`)
  const task: ManifestTask = {
    name,
    source: source(fields.object('source')),
    codec,
    kept: fields.count('kept'),
    elements: fields.count('elements'),
    bytes: sumOfFiles(fields, files),
    originalBytes: fields.count('originalBytes'),
    files,
    metadata: fields.stringMap('metadata'),
  }
  if (task.kept > task.elements) throw fields.wrong('kept', `at most elements (${task.elements})`)
  if (fields.has('sharedFiles')) task.sharedFiles = sharedFiles(fields, mergedFiles)
  if (fields.has('shards')) task.shards = shards(fields)
  checkOutputNames(task, file)
  return task
}

function packFiles(fields: JsonFields, prefix: string): PackFile[] {
  const seen = new Set<string>()
  return fields.items('files').map((entry) => {
    const path = entry.string('path')
    if (!isPackPath(path) || !path.startsWith(prefix))
      throw entry.wrong('path', `a plain path below ${prefix}`)
    if (seen.has(path.toLowerCase())) throw entry.wrong('path', 'a path not listed before')
    seen.add(path.toLowerCase())
    const fingerprint = entry.string('fingerprint')
    if (!FINGERPRINT.test(fingerprint)) throw entry.wrong('fingerprint', '32 lower-case hex digits')
    return { path, bytes: entry.count('bytes'), fingerprint }
  })
}

function sumOfFiles(fields: JsonFields, files: PackFile[]): number {
  const bytes = fields.count('bytes')
  const sum = files.reduce((total, file) => total + file.bytes, 0)
  if (bytes !== sum) throw fields.wrong('bytes', `the sum of its files (${sum})`)
  return bytes
}

function sharedFiles(fields: JsonFields, mergedFiles: PackFile[]): string[] {
  const stored = new Set(mergedFiles.map((file) => file.path))
  return fields.array('sharedFiles').map((path) => {
    if (!isPackPath(path) || WEIGHT_FILE.test(path) || !stored.has(`${MERGED_FOLDER}/${path}`)) {
      throw fields.wrong('sharedFiles', `names of ${MERGED_FOLDER}/'s other files`)
    }
    return path
  })
}

function shards(fields: JsonFields): Record<string, string> {
  const map = fields.stringMap('shards')
  for (const name of Object.values(map)) {
    if (!isPackPath(name) || name.includes('/') || !name.endsWith('.safetensors')) {
      throw fields.wrong('shards', 'names of .safetensors files without a folder')
    }
  }
  return map
}

/** Two outputs of one name (also where case does not count) would overwrite each other. */
function checkOutputNames(task: ManifestTask, file: string): void {
  const prefix = `${TASKS_FOLDER}/${task.name}/`
  const own = task.files.map((entry) => entry.path.slice(prefix.length)).filter((name) => !isDeltaFile(name))
  const seen = new Set<string>()
  for (const name of [...own, ...(task.sharedFiles ?? [])]) {
    if (WEIGHT_FILE.test(name))
      throw invalid({ file, task: task.name }, `${prefix}${name} is no file of this format`)
    if (seen.has(name.toLowerCase()))
      throw invalid({ file, task: task.name }, `task file '${name}' is listed twice`)
    seen.add(name.toLowerCase())
  }
}

function source(fields: JsonFields): PackSource {
  const result: PackSource = { name: fields.string('name'), bytes: fields.count('bytes') }
  if (fields.has('fingerprint')) {
    result.fingerprint = fields.string('fingerprint')
    if (!FINGERPRINT.test(result.fingerprint)) throw fields.wrong('fingerprint', '32 lower-case hex digits')
  }
  return result
}
