import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ManifestLoraTask } from '../pack/manifest-types.js'
import { MANIFEST_FILE } from '../pack/pack-format.js'
import type { FileRange, Pack, PackTask, PackTensor } from '../pack/pack-types.js'
import type {
  ExactTaskInspection,
  FamilyInspection,
  LoraTaskInspection,
  TaskInspection,
  TaskTensorInspection,
} from './inspection-types.js'

/**
 * Describes an open family.
 *
 * @param pack - what openPack gave
 * @param listTensors - whether every tensor of every task is listed
 * @returns plain data that JSON can hold
 * @throws TaskfoldError PACK_INVALID when a delta file contradicts the format
 */
export async function inspectFamily(pack: Pack, listTensors: boolean): Promise<FamilyInspection> {
  const { manifest, merged } = pack
  const { name, bytes, fingerprint = null, reference = null } = manifest.base
  const tasks: TaskInspection[] = []
  for (const entry of manifest.tasks) {
    if (entry.codec === 'lora') tasks.push(inspectLoraTask(entry))
    else tasks.push(inspectTask(await pack.task(entry.name), listTensors))
  }
  const manifestBytes = (await stat(join(pack.folder, MANIFEST_FILE))).size
  const copiedBytes = sum(manifest.base.files ?? [], (file) => file.bytes)
  const familyBytes =
    manifestBytes + (manifest.merged?.bytes ?? 0) + copiedBytes + sum(tasks, (task) => task.bytes)
  const originalBytes = sum(tasks, (task) => task.originalBytes)
  return {
    kind: 'family',
    path: pack.folder,
    format: manifest.taskfold.format,
    writtenBy: manifest.taskfold.version,
    base: { name, bytes, fingerprint, reference, copiedBytes },
    method: manifest.method,
    merged:
      merged === null || manifest.merged === undefined
        ? null
        : {
            bytes: manifest.merged.bytes,
            tensorBytes: merged.totalBytes,
            files: manifest.merged.files.length,
            tensors: merged.tensors.size,
          },
    tasks,
    totals: { familyBytes, originalBytes, ratio: ratio(originalBytes, familyBytes) },
  }
}

function inspectLoraTask(task: ManifestLoraTask): LoraTaskInspection {
  const { name, source, codec, bytes, originalBytes, rank, layers } = task
  return {
    ...{ name, source, codec, bytes, originalBytes, share: ratio(bytes, originalBytes), rank },
    originalRank: layers.reduce((most, layer) => Math.max(most, layer.originalRank), 0),
    retainedEnergy: layers.reduce((least, layer) => Math.min(least, layer.retainedEnergy), 1),
    layers: layers.map((layer) => ({ ...layer })),
  }
}

function inspectTask(task: PackTask, listTensors: boolean): ExactTaskInspection {
  const { name, manifest } = task
  const tensors = [...task.tensors.values()]
  const arrays = tensors.flatMap((tensor) => (tensor.arrays === null ? [] : [tensor.arrays]))
  const stored = {
    values: sum(arrays, (array) => array.value.length),
    indices: sum(arrays, (array) => array.index?.length ?? 0),
    blocks: sum(arrays, (array) => array.blocks?.length ?? 0),
    scales: sum(arrays, (array) => array.scale?.length ?? 0),
    streams: streamBytes(task),
    whole: sum(tensors, (tensor) => tensor.stored?.length ?? 0),
  }
  const deltaBytes = sum(task.files, (file) => file.size)
  const result: ExactTaskInspection = {
    name,
    source: manifest.source,
    codec: manifest.codec,
    bytes: manifest.bytes,
    originalBytes: manifest.originalBytes,
    share: ratio(manifest.bytes, manifest.originalBytes),
    kept: manifest.kept,
    elements: manifest.elements,
    density: ratio(manifest.kept, manifest.elements),
    loss: manifest.loss ?? null,
    kinds: { delta: 0, rows: 0, whole: 0, same: 0, alias: 0 },
    indexCodes: { u16: 0, bitmap: 0, rice: 0, all: 0 },
    valueCodes: { plain: 0, coded: 0, sign: 0, int4: 0 },
    stored: {
      ...stored,
      headers: deltaBytes - sum(Object.values(stored), (bytes) => bytes),
      otherFiles: manifest.bytes - deltaBytes,
    },
  }
  for (const tensor of tensors) {
    result.kinds[tensor.kind]++
    if (tensor.arrays === null || !('index' in tensor)) continue
    result.indexCodes[tensor.index]++
    result.valueCodes[tensor.values ?? 'plain']++
  }
  if (listTensors) result.tensors = tensors.map(inspectTensor)
  return result
}

function streamBytes({ stream }: PackTask): number {
  if (stream === null) return 0
  return stream.codes.length + stream.tables.length + stream.directory.length
}

function inspectTensor(tensor: PackTensor): TaskTensorInspection {
  const { name, kind, dtype, shape, byteLength, arrays, stored } = tensor
  const arrayBytes = sum(Object.values(arrays ?? {}), (array: FileRange | null) => array?.length ?? 0)
  return {
    name,
    kind,
    dtype,
    shape: [...shape],
    bytes: byteLength,
    storedBytes: arrayBytes + (stored?.length ?? 0),
    kept: 'kept' in tensor && tensor.coded === null ? tensor.kept : null,
    index: arrays !== null && 'index' in tensor ? tensor.index : null,
    values: arrays !== null && 'index' in tensor ? (tensor.values ?? 'plain') : null,
    of: kind === 'alias' ? tensor.of : null,
  }
}

function sum<T>(items: readonly T[], bytes: (item: T) => number): number {
  return items.reduce((total, item) => total + bytes(item), 0)
}

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole
}
