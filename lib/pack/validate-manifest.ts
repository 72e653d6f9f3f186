import { join } from 'node:path'
import { parseBaseReference } from './base-reference.js'
import { invalid, JsonFields } from './json-fields.js'
import { FINGERPRINT, packFiles, sumOfFiles, WEIGHT_FILE } from './manifest-files.js'
import type { Manifest, ManifestBase, ManifestMerged, PackSource } from './manifest-types.js'
import { newerVersion } from './newer-version.js'
import { BASE_FOLDER, FORMAT_VERSION, MANIFEST_FILE, MERGED_FOLDER } from './pack-format.js'
import { validateMethod } from './validate-method.js'
import { taskCodec, validateTask } from './validate-task.js'

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
  // Codecs decide which other fields there are, so that a newer one is named before its fields are found strange.
  const codecs = fields.items('tasks').map((item) => taskCodec(item, file).codec)
  const lora = codecs.includes('lora')
  const exact = codecs.some((codec) => codec !== 'lora') || !lora
  if (!exact && fields.has('merged')) throw fields.wrong('merged', 'absent in a family of LoRA tasks alone')
  const merged = exact ? validateMerged(fields.object('merged'), file) : undefined
  const manifest: Manifest = {
    taskfold: { format, version: versions.string('version') },
    method: validateMethod(fields.object('method'), { merged: exact, lora }),
    base: validateBase(fields.object('base'), lora, file),
    ...(merged === undefined ? {} : { merged }),
    tasks: [],
  }
  const seen = new Set<string>()
  for (const item of fields.items('tasks')) {
    const task = validateTask(item, merged?.files ?? [], source, file)
    const key = task.name.toLowerCase()
    if (seen.has(key)) throw invalid({ file, task: task.name }, `task '${task.name}' is listed twice`)
    seen.add(key)
    manifest.tasks.push(task)
  }
  return manifest
}

function validateMerged(fields: JsonFields, file: string): ManifestMerged {
  const files = packFiles(fields, `${MERGED_FOLDER}/`)
  const tensors = fields.stringMap('tensors')
  for (const [tensor, fingerprint] of Object.entries(tensors)) {
    if (!FINGERPRINT.test(fingerprint)) {
      throw invalid({ file, tensor }, 'its fingerprint in merged.tensors is not 32 lower-case hex digits')
    }
  }
  return { bytes: sumOfFiles(fields, files), files, tensors }
}

/** LoRA tasks are nothing without θ0: it is in the family, or the family says where it was, and how to recognise it. */
function validateBase(fields: JsonFields, lora: boolean, file: string): ManifestBase {
  const base: ManifestBase = source(fields)
  for (const key of ['reference', 'files']) {
    if (!lora && fields.has(key)) throw fields.wrong(key, 'absent in a family without LoRA tasks')
  }
  if (!lora) return base
  if (base.fingerprint === undefined) throw fields.wrong('fingerprint', '32 lower-case hex digits')
  if (fields.has('files')) {
    if (fields.has('reference'))
      throw fields.wrong('reference', `absent when ${BASE_FOLDER}/ is in the family`)
    base.files = packFiles(fields, `${BASE_FOLDER}/`)
    for (const { path } of base.files) {
      const shard = /^[^/]*\.safetensors$|^model\.safetensors\.index\.json$/.test(
        path.slice(BASE_FOLDER.length + 1),
      )
      if (WEIGHT_FILE.test(path) && !shard) throw invalid({ file }, `${path} is no file of this format`)
    }
    return base
  }
  base.reference = fields.string('reference')
  if (parseBaseReference(base.reference) === null) {
    throw fields.wrong(
      'reference',
      'a path that begins with .. and stays plain behind it, or org/name@revision',
    )
  }
  return base
}

function source(fields: JsonFields): PackSource {
  const result: PackSource = { name: fields.string('name'), bytes: fields.count('bytes') }
  if (fields.has('fingerprint')) {
    result.fingerprint = fields.string('fingerprint')
    if (!FINGERPRINT.test(result.fingerprint)) throw fields.wrong('fingerprint', '32 lower-case hex digits')
  }
  return result
}
