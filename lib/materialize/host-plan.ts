import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import type { FileRange, PackTask, PackTensor } from '../pack/pack-types.js'
import { type TensorPart, tensorParts } from '../pack/tensor-parts.js'

/** What a task changes of a tensor's memory; parts do not overlap. */
export interface TensorChange {
  /** Name of the tensor and of its memory. */
  name: string
  /** The task's tensor, never an alias. */
  tensor: PackTensor
  /** θ*'s first elements with a remainder; null: none. */
  remainder: TensorPart | null
  /** Bytes that the task stores as they are, and the first byte that they go to; null: none. */
  stored: { at: number; from: FileRange } | null
}

/**
 * Bytes of memory that each name needs for θ* and for every task that may be entered.
 *
 * @param merged - θ*
 * @param tasks - open tasks
 * @returns bytes by name: the longest that the tensor is anywhere
 */
export function planMemory(merged: Checkpoint, tasks: readonly PackTask[]): Map<string, number> {
  const bytes = new Map<string, number>()
  for (const { name, length } of merged.tensors.values()) bytes.set(name, length)
  for (const task of tasks) {
    for (const { name, kind, byteLength } of task.tensors.values()) {
      if (kind !== 'alias') bytes.set(name, Math.max(byteLength, bytes.get(name) ?? 0))
    }
  }
  return bytes
}

/**
 * What entering a task changes of θ*'s memory.
 *
 * @param task - the open task
 * @returns the tensors that differ from θ*'s
 */
export function planChanges(task: PackTask): TensorChange[] {
  const changes: TensorChange[] = []
  for (const tensor of task.tensors.values()) {
    if (tensor.kind === 'alias') continue
    const change: TensorChange = { name: tensor.name, tensor, remainder: null, stored: null }
    const merged = task.merged.tensors.get(tensor.name)
    for (const part of tensorParts(task, tensor)) {
      if (part.delta !== null) change.remainder = part
      else if (!isMerged(part, merged)) change.stored = { at: part.at, from: part.from }
    }
    if (change.remainder !== null || change.stored !== null) changes.push(change)
  }
  return changes
}

/** Whether a plain copy takes θ*'s bytes to where θ* has them. */
function isMerged({ at, from }: TensorPart, merged: TensorInfo | undefined): boolean {
  return at === 0 && from.file === merged?.file && from.offset === merged.offset
}
