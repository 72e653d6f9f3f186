import { join } from 'node:path'
import type { Checkpoint, CheckpointFile } from '../checkpoint/checkpoint-types.js'
import { compareNames } from '../checkpoint/names.js'
import { readSafetensorsHeader } from '../checkpoint/safetensors-header.js'
import { quoteName } from '../errors/quote-name.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { deltaFileName, isDeltaFile } from './delta-names.js'
import { type FieldContext, invalid } from './json-fields.js'
import { locateTensor } from './locate-tensor.js'
import type { ManifestExactTask } from './manifest-types.js'
import { openStream } from './open-stream.js'
import { DELTA_INDEX_FILE, MANIFEST_FILE, TASKS_FOLDER } from './pack-format.js'
import type { PackStream, PackTask, PackTensor } from './pack-types.js'
import { parseDeltaHeader } from './parse-delta-header.js'

/**
 * Opens one task of a family: reads the headers of its delta files and checks every described tensor against the
 * stored arrays and merged/.
 *
 * @param folder - the family's folder
 * @param task - its entry in the manifest
 * @param merged - the open merged checkpoint
 * @param signal - stops between two files
 * @returns the task
 * @throws TaskfoldError PACK_INVALID, PACK_VERSION, CANCELLED, or a code of the safetensors checks
 */
export async function openTask(
  folder: string,
  task: ManifestExactTask,
  merged: Checkpoint,
  signal?: AbortSignal,
): Promise<PackTask> {
  const manifestFile = join(folder, MANIFEST_FILE)
  const found = new Map<string, PackTensor>()
  const files: CheckpointFile[] = []
  let stream: PackStream | null = null
  for (const name of deltaFiles(task, manifestFile)) {
    throwIfAborted(signal)
    const path = join(folder, TASKS_FOLDER, task.name, name)
    const context = { file: path, task: task.name }
    const header = await readSafetensorsHeader(path, name)
    files.push(header.file)
    const unclaimed = new Map(header.tensors.map((tensor) => [tensor.name, tensor]))
    const sources = {
      merged: (tensor: string) => merged.tensors.get(tensor),
      claim(stored: string) {
        const tensor = unclaimed.get(stored)
        unclaimed.delete(stored)
        return tensor
      },
    }
    const { codec } = task
    if (codec === 'step') {
      const opened = openStream(header.file.metadata, merged, sources, { ...context, codec })
      for (const [tensor, located] of opened.tensors) found.set(tensor, located)
      stream = opened.stream
      refuseUnclaimed(unclaimed, context)
      continue
    }
    for (const [tensor, description] of parseDeltaHeader(header.file.metadata, path, task.name, codec)) {
      if (found.has(tensor)) throw invalid({ ...context, tensor }, 'two delta files describe it')
      found.set(tensor, locateTensor(tensor, description, sources, context))
    }
    refuseUnclaimed(unclaimed, context)
  }
  resolveAliases(found, task.name)
  checkTotals(found, task, manifestFile)
  const tensors = new Map([...found].sort(([a], [b]) => compareNames(a, b)))
  return { name: task.name, manifest: task, merged, tensors, stream, files }
}

function refuseUnclaimed(unclaimed: ReadonlyMap<string, unknown>, context: FieldContext): void {
  for (const stored of unclaimed.keys()) {
    throw invalid(context, `the stored tensor ${quoteName(stored)} belongs to no described tensor`)
  }
}

/** Either delta.safetensors, or all of delta-00001-of-0000N to delta-0000N-of-0000N. */
function deltaFiles(task: ManifestExactTask, manifestFile: string): string[] {
  const prefix = `${TASKS_FOLDER}/${task.name}/`
  const names = task.files
    .map((file) => file.path.slice(prefix.length))
    .filter((name) => isDeltaFile(name) && name !== DELTA_INDEX_FILE)
    .sort()
  const single = task.codec === 'step'
  const whole =
    names.length > 0 &&
    names.every((name, i) => name === deltaFileName(i, names.length)) &&
    !(single && names.length > 1)
  if (!whole) {
    const listed = names.length === 0 ? 'none' : names.slice(0, 3).join(', ')
    throw invalid(
      { file: manifestFile, task: task.name },
      `task '${task.name}' needs delta.safetensors or a full set of its parts, but lists ${listed}`,
    )
  }
  return names
}

function resolveAliases(tensors: ReadonlyMap<string, PackTensor>, task: string): void {
  for (const tensor of tensors.values()) {
    if (tensor.kind !== 'alias') continue
    const at = { file: tensor.describedIn, task, tensor: tensor.name }
    const target = tensors.get(tensor.of)
    if (target === undefined)
      throw invalid(at, `it is tied to ${quoteName(tensor.of)}, which the task does not have`)
    if (target.kind === 'alias')
      throw invalid(at, `it is tied to ${quoteName(tensor.of)}, which is tied itself`)
    if (target.dtype !== tensor.dtype || target.elements !== tensor.elements) {
      throw invalid(at, `it is tied to ${quoteName(tensor.of)} of another dtype or size`)
    }
    tensor.byteLength = target.byteLength
  }
}

function checkTotals(tensors: ReadonlyMap<string, PackTensor>, task: ManifestExactTask, file: string): void {
  let kept = 0
  let elements = 0
  for (const tensor of tensors.values()) {
    if (tensor.kind !== 'delta' && tensor.kind !== 'rows') continue
    kept += tensor.kept
    elements += tensor.deltaElements
  }
  const stream = task.codec === 'step'
  if (!stream && kept !== task.kept) {
    throw invalid(
      { file, task: task.name },
      `task '${task.name}' keeps ${kept} entries, but its entry says ${task.kept}`,
    )
  }
  if (elements > task.elements) {
    throw invalid(
      { file, task: task.name },
      `task '${task.name}' has ${elements} elements to choose from, but its entry says ${task.elements}`,
    )
  }
}
