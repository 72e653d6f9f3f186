import { basename } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import type { CheckpointInspection } from './inspection-types.js'

/**
 * Describes an open checkpoint.
 *
 * @param checkpoint - what readCheckpoint gave
 * @param listTensors - whether every tensor is listed
 * @returns plain data that JSON can hold
 */
export function inspectCheckpoint(checkpoint: Checkpoint, listTensors: boolean): CheckpointInspection {
  const dtypes = new Map<string, { dtype: string; tensors: number; elements: number; bytes: number }>()
  let elements = 0
  for (const tensor of checkpoint.tensors.values()) {
    const row = dtypes.get(tensor.dtype) ?? { dtype: tensor.dtype, tensors: 0, elements: 0, bytes: 0 }
    row.tensors++
    row.elements += tensor.elements
    row.bytes += tensor.length
    elements += tensor.elements
    dtypes.set(tensor.dtype, row)
  }
  const result: CheckpointInspection = {
    kind: 'checkpoint',
    source: checkpoint.source,
    folder: checkpoint.folder,
    sharded: checkpoint.sharded,
    files: checkpoint.files.map(({ name, size, tensors, metadata }) => ({
      name,
      bytes: size,
      tensors: tensors.length,
      metadata: { ...metadata },
    })),
    otherFiles: [...checkpoint.otherFiles],
    dtypes: [...dtypes.values()].sort((a, b) => b.bytes - a.bytes || (a.dtype < b.dtype ? -1 : 1)),
    totals: { tensors: checkpoint.tensors.size, elements, bytes: checkpoint.totalBytes },
  }
  if (listTensors) {
    result.tensors = [...checkpoint.tensors.values()].map(({ name, dtype, shape, length, file }) => ({
      name,
      dtype,
      shape: [...shape],
      bytes: length,
      file: basename(file),
    }))
  }
  return result
}
