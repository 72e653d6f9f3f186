import type { Checkpoint, Dtype } from '../checkpoint/checkpoint-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { FileRange, PackTask, PackTensor } from '../pack/pack-types.js'
import { floatBytes } from '../pack/stored-arrays.js'
import { type SparseDelta, tensorParts } from '../pack/tensor-parts.js'

/** Where a tensor lies on the device: in θ*'s memory, or in that of the task. */
export interface PlacedTensor {
  name: string
  dtype: Dtype
  shape: readonly number[]
  byteLength: number
  memory: 'model' | 'task'
  /** First byte in that memory, a multiple of 256. */
  at: number
}

/** Stored bytes and where they go. */
export interface PlacedBytes {
  name: string
  from: FileRange
  at: number
}

/** θ*'s memory. */
export interface ModelPlan {
  bytes: number
  copies: PlacedBytes[]
  /** θ*'s tensors, in bytewise order of their names. */
  tensors: ReadonlyMap<string, PlacedTensor>
  /** Bytes from `at` on that a tensor may take, extra rows of a task included. */
  room: ReadonlyMap<string, number>
}

/** What a task brings: its own memory, and the deltas over θ*'s tensors (which come behind `ownBytes`). */
export interface TaskPlan {
  name: string
  ownBytes: number
  stored: PlacedBytes[]
  /** Rows behind those that a delta covers; `overlap` bytes of θ* are kept at `saved` meanwhile. */
  tails: { from: number; saved: number; at: number; length: number; overlap: number }[]
  deltas: { name: string; at: number; delta: SparseDelta }[]
  /** The task's tensors, in bytewise order of their names. */
  tensors: ReadonlyMap<string, PlacedTensor>
  /** Bytes to read. */
  readBytes: number
}

/** Of cudaMalloc, of DLPack, and of what the kernels ask for. */
const ALIGNMENT = 256

/** Lays ranges of one memory behind each other. */
class Room {
  bytes = 0

  take(length: number): number {
    const at = this.bytes
    this.bytes = Math.ceil((at + length) / ALIGNMENT) * ALIGNMENT
    return at
  }
}

/**
 * Lays θ* out in one allocation. Tensors that a task has with more rows get room for these.
 *
 * @param merged - θ*
 * @param tasks - open tasks that may be entered
 * @returns the plan
 */
export function planModel(merged: Checkpoint, tasks: readonly PackTask[]): ModelPlan {
  const largest = new Map<string, number>()
  for (const { tensors } of tasks) {
    for (const { name, kind, byteLength } of tensors.values()) {
      if (kind === 'rows') largest.set(name, Math.max(byteLength, largest.get(name) ?? 0))
    }
  }
  const room = new Room()
  const rooms = new Map<string, number>()
  const copies: PlacedBytes[] = []
  const placed = new Map<string, PlacedTensor>()
  for (const { name, dtype, shape, length, file, offset } of merged.tensors.values()) {
    const most = Math.max(length, largest.get(name) ?? 0)
    const at = room.take(most)
    rooms.set(name, most)
    placed.set(name, { name, dtype, shape, byteLength: length, memory: 'model', at })
    if (length > 0) copies.push({ name, from: { file, offset, length }, at })
  }
  return { bytes: room.bytes, copies, tensors: placed, room: rooms }
}

/**
 * Lays a task out over the plan of its model.
 *
 * @param model - planned with this task among its tasks
 * @param task - the open task
 * @returns the plan
 * @throws TaskfoldError INTERNAL when the model was planned without the task and has no room for its rows
 */
export function planTask(model: ModelPlan, task: PackTask): TaskPlan {
  const room = new Room()
  const plan: Omit<TaskPlan, 'ownBytes' | 'tensors'> = {
    name: task.name,
    stored: [],
    tails: [],
    deltas: [],
    readBytes: 0,
  }
  const placed = new Map<string, PlacedTensor>()
  for (const tensor of task.tensors.values()) {
    if (tensor.kind === 'alias') continue
    const { name, dtype, shape, byteLength } = tensor
    if (tensor.kind === 'whole') {
      const at = storeBytes(plan, room, name, tensor.stored!)
      placed.set(name, { name, dtype, shape, byteLength, memory: 'task', at })
      continue
    }
    const { at } = model.tensors.get(name)!
    placed.set(name, { name, dtype, shape, byteLength, memory: 'model', at })
    if (byteLength > model.room.get(name)!) {
      throw new TaskfoldError('INTERNAL', `no room for the rows of ${name}`, {
        tensor: name,
        task: task.name,
      })
    }
    for (const { delta } of tensorParts(task, tensor)) {
      if (delta === null) continue
      if (delta.stream !== undefined) throw codecNotOnGpu(task)
      plan.deltas.push({ name, at, delta })
      plan.readBytes += deltaBytes(delta)
    }
    if (tensor.kind === 'rows' && tensor.stored!.length > 0) placeTail(plan, room, model, tensor)
  }
  const tensors = [...task.tensors.values()].map((tensor): [string, PlacedTensor] => {
    const { name, dtype, shape } = tensor
    const place = placed.get(tensor.kind === 'alias' ? tensor.of : name)!
    return [name, { ...place, name, dtype, shape }]
  })
  return { ...plan, ownBytes: room.bytes, tensors: new Map(tensors) }
}

function storeBytes(
  plan: Pick<TaskPlan, 'stored' | 'readBytes'>,
  room: Room,
  name: string,
  from: FileRange,
): number {
  const at = room.take(from.length)
  if (from.length > 0) plan.stored.push({ name, from, at })
  plan.readBytes += from.length
  return at
}

function placeTail(
  plan: Pick<TaskPlan, 'stored' | 'readBytes' | 'tails'>,
  room: Room,
  model: ModelPlan,
  { name, deltaElements, dtype, stored }: PackTensor & { kind: 'rows' },
): void {
  const { at, byteLength } = model.tensors.get(name)!
  const head = deltaElements * floatBytes(dtype)
  const { length } = stored!
  const overlap = Math.min(length, byteLength - head)
  const from = storeBytes(plan, room, name, stored!)
  plan.tails.push({ from, saved: room.take(overlap), at: at + head, length, overlap })
}

function deltaBytes({ arrays }: SparseDelta): number {
  return Object.values(arrays).reduce((sum, array) => sum + (array?.length ?? 0), 0)
}

function codecNotOnGpu({ name, manifest }: PackTask): TaskfoldError {
  return new TaskfoldError(
    'INVALID_ARGUMENT',
    `a GPU cannot decode codec ${manifest.codec} of task '${name}'`,
    {
      task: name,
      hint: 'load it on the CPU, by leaving the device out',
    },
  )
}
