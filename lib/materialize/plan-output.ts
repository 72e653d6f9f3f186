import { join } from 'node:path'
import { layoutSafetensors } from '../checkpoint/safetensors-layout.js'
import { isDeltaFile } from '../pack/delta-names.js'
import { invalid } from '../pack/json-fields.js'
import type { PackFile } from '../pack/manifest-types.js'
import { MANIFEST_FILE, MERGED_FOLDER, TASKS_FOLDER } from '../pack/pack-format.js'
import type { Pack, PackTask, PackTensor } from '../pack/pack-types.js'

/** One safetensors file of an unfolded task. */
export interface PlannedShard {
  /** Name inside the output folder. */
  name: string
  /** Length prefix and header. */
  header: Uint8Array
  /** Length of the whole file. */
  fileBytes: number
  /** Its tensors in file order, and where each begins. */
  tensors: { tensor: PackTensor; offset: number }[]
}

/** Everything that an unfolded folder will hold. */
export interface OutputPlan {
  shards: PlannedShard[]
  /** True when the folder needs model.safetensors.index.json. */
  index: boolean
  /** Other files: from where in the family, to which path inside the output. */
  others: { from: PackFile; to: string }[]
  /** Bytes of all shards and other files. */
  totalBytes: number
  /** Bytes of the tensors alone. */
  tensorBytes: number
}

/**
 * Lays out an unfolded task: the shards of merged/, headers, and the other files.
 *
 * @param pack - the family
 * @param task - one of its open tasks
 * @returns the plan; nothing is written
 * @throws TaskfoldError PACK_INVALID when two outputs would have one name, HEADER_TOO_LARGE
 */
export function planOutput(pack: Pack, task: PackTask): OutputPlan {
  const shards = planShards(task)
  const others = planOthers(pack, task)
  const context = { file: join(pack.folder, MANIFEST_FILE), task: task.name }
  const seen = new Set<string>()
  for (const name of [...shards.map((shard) => shard.name), ...others.map((other) => other.to)]) {
    if (seen.has(name.toLowerCase()))
      throw invalid(context, `two files of task '${task.name}' would be named ${name}`)
    seen.add(name.toLowerCase())
  }
  return {
    shards,
    index: shards.length > 1 || task.merged.sharded,
    others,
    totalBytes:
      shards.reduce((sum, shard) => sum + shard.fileBytes, 0) +
      others.reduce((sum, other) => sum + other.from.bytes, 0),
    tensorBytes: [...task.tensors.values()].reduce((sum, tensor) => sum + tensor.byteLength, 0),
  }
}

function planShards(task: PackTask): PlannedShard[] {
  const fileName = new Map(
    task.merged.files.flatMap((file) => file.tensors.map((tensor) => [tensor, file.name])),
  )
  const first = task.merged.files[0]!.name
  const shards = task.manifest.shards
  const members = new Map<string, PackTensor[]>()
  for (const tensor of task.tensors.values()) {
    const placed =
      shards !== undefined && Object.hasOwn(shards, tensor.name) ? shards[tensor.name] : undefined
    const name = fileName.get(tensor.name) ?? placed ?? first
    const list = members.get(name)
    if (list === undefined) members.set(name, [tensor])
    else list.push(tensor)
  }
  // A model without tensors is still a file that loaders can open.
  if (members.size === 0) members.set(first, [])
  return [...members]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, tensors]) => planShard(name, tensors, task))
}

function planShard(name: string, tensors: PackTensor[], task: PackTask): PlannedShard {
  const { header, offsets, fileBytes } = layoutSafetensors(tensors, {
    format: 'pt',
    ...task.manifest.metadata,
  })
  const placed = tensors.map((tensor) => ({ tensor, offset: offsets.get(tensor.name)! }))
  placed.sort((a, b) => a.offset - b.offset)
  return { name, header, fileBytes, tensors: placed }
}

function planOthers(pack: Pack, task: PackTask): OutputPlan['others'] {
  const prefix = `${TASKS_FOLDER}/${task.name}/`
  const own = task.manifest.files
    .map((from) => ({ from, to: from.path.slice(prefix.length) }))
    .filter(({ to }) => !isDeltaFile(to))
  const merged = new Map((pack.manifest.merged?.files ?? []).map((file) => [file.path, file]))
  const shared = (task.manifest.sharedFiles ?? []).map((to) => ({
    from: merged.get(`${MERGED_FOLDER}/${to}`)!,
    to,
  }))
  return [...own, ...shared]
}
