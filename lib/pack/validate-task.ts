import { compareNames } from '../checkpoint/names.js'
import { isDeltaFile } from './delta-names.js'
import { invalid, type JsonFields } from './json-fields.js'
import { packFiles, sumOfFiles, WEIGHT_FILE } from './manifest-files.js'
import type {
  ManifestExactTask,
  ManifestLayer,
  ManifestLoraTask,
  ManifestLoss,
  ManifestTask,
  PackFile,
  PackSource,
  RemainderCodec,
} from './manifest-types.js'
import { newerVersion } from './newer-version.js'
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, MERGED_FOLDER, TASKS_FOLDER } from './pack-format.js'
import { isPackPath } from './pack-path.js'
import { isTaskName } from './task-name.js'

/** Modules are paths of attributes; far below what a header may hold. */
const MAX_MODULE_BYTES = 1024

/**
 * Reads a task's name and codec. Unknown codecs come from newer releases, so they get their own code before anything
 * else is read.
 *
 * @param fields - an entry of `tasks`
 * @param file - path of family.json
 * @returns both
 * @throws TaskfoldError PACK_INVALID, PACK_VERSION
 */
export function taskCodec(fields: JsonFields, file: string): { name: string; codec: ManifestTask['codec'] } {
  const name = fields.string('name')
  if (!isTaskName(name)) throw fields.wrong('name', 'a task name ([A-Za-z0-9._-]{1,64}, no dot in front)')
  const codec = fields.string('codec')
  if (codec === 'lora' || isRemainderCodec(codec)) return { name, codec }
  throw newerVersion(file, `codec '${codec.slice(0, 40)}' of task '${name}'`)
}

const REMAINDER_CODECS: readonly string[] = ['exact', 'sign', 'int4', 'step'] satisfies RemainderCodec[]

function isRemainderCodec(codec: string): codec is RemainderCodec {
  return REMAINDER_CODECS.includes(codec)
}

/**
 * Checks one task of family.json.
 *
 * @param fields - an entry of `tasks`
 * @param mergedFiles - files of merged/
 * @param sourceOf - checks a `source`
 * @param file - path of family.json
 * @returns the task, rebuilt from checked values
 * @throws TaskfoldError PACK_INVALID, PACK_VERSION
 */
export function validateTask(
  fields: JsonFields,
  mergedFiles: readonly PackFile[],
  sourceOf: (fields: JsonFields) => PackSource,
  file: string,
): ManifestTask {
  const { name, codec } = taskCodec(fields, file)
  const files = packFiles(fields, `${TASKS_FOLDER}/${name}/`)
  const facts = {
    name,
    source: sourceOf(fields.object('source')),
    files,
    bytes: sumOfFiles(fields, files),
    originalBytes: fields.count('originalBytes'),
  }
  return codec === 'lora'
    ? loraTask(facts, fields, file)
    : exactTask({ ...facts, codec }, fields, mergedFiles, file)
}

function exactTask(
  facts: Omit<ManifestExactTask, 'kept' | 'elements' | 'metadata'>,
  fields: JsonFields,
  mergedFiles: readonly PackFile[],
  file: string,
): ManifestExactTask {
  const task: ManifestExactTask = {
    ...facts,
    kept: fields.count('kept'),
    elements: fields.count('elements'),
    metadata: fields.stringMap('metadata'),
  }
  if (facts.codec === 'step') task.loss = loss(fields.object('loss'))
  if (task.kept > task.elements) throw fields.wrong('kept', `at most elements (${task.elements})`)
  if (fields.has('sharedFiles')) task.sharedFiles = sharedFiles(fields, mergedFiles)
  if (fields.has('shards')) task.shards = shards(fields)
  checkOutputNames(task, file)
  return task
}

function loss(fields: JsonFields): ManifestLoss {
  return {
    step: fields.number('step', 0, Number.MAX_VALUE),
    bits: fields.number('bits', 0, Number.MAX_VALUE),
    relativeError: fields.number('relativeError', 0, Number.MAX_VALUE),
  }
}

function loraTask(
  facts: Omit<ManifestLoraTask, 'codec' | 'rank' | 'layers'>,
  fields: JsonFields,
  file: string,
): ManifestLoraTask {
  const layers = fields.items('layers').map(loraLayer)
  for (const [i, { module }] of layers.entries()) {
    if (i > 0 && compareNames(layers[i - 1]!.module, module) >= 0)
      throw fields.wrong('layers', 'in bytewise order of their modules, each once')
  }
  const most = layers.reduce((rank, layer) => Math.max(rank, layer.rank), 0)
  if (most === 0) throw fields.wrong('layers', 'a list with at least one layer')
  if (fields.count('rank') !== most) throw fields.wrong('rank', `the largest rank of its layers (${most})`)
  const prefix = `${TASKS_FOLDER}/${facts.name}/`
  const names = facts.files.map((entry) => entry.path.slice(prefix.length))
  for (const needed of [ADAPTER_FILE, ADAPTER_CONFIG_FILE]) {
    if (!names.includes(needed))
      throw invalid({ file, task: facts.name }, `task '${facts.name}' does not list ${prefix}${needed}`)
  }
  for (const name of names) {
    if (name !== ADAPTER_FILE && WEIGHT_FILE.test(name))
      throw invalid({ file, task: facts.name }, `${prefix}${name} is no file of this format`)
  }
  return { ...facts, codec: 'lora', rank: most, layers }
}

function loraLayer(fields: JsonFields): ManifestLayer {
  const module = fields.string('module')
  if (module === '' || Buffer.byteLength(module) > MAX_MODULE_BYTES) {
    throw fields.wrong('module', `the name of a module, of at most ${MAX_MODULE_BYTES} bytes`)
  }
  return {
    module,
    rank: rank(fields, 'rank'),
    originalRank: rank(fields, 'originalRank'),
    retainedEnergy: fields.number('retainedEnergy', 0, 1),
    relativeError: fields.number('relativeError', 0, 1),
  }
}

function rank(fields: JsonFields, key: string): number {
  const value = fields.count(key)
  if (value === 0) throw fields.wrong(key, 'a rank from 1 on')
  return value
}

function sharedFiles(fields: JsonFields, mergedFiles: readonly PackFile[]): string[] {
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
function checkOutputNames(task: ManifestExactTask, file: string): void {
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
