import { floatBytes } from '../pack/stored-arrays.js'
import type { PlannedTensor } from './plan-tensors.js'

/**
 * Bytes of the rows of a task's table that are not folded, in the storage dtype.
 *
 * @param planned - a table of a task
 * @returns bytes; 0 when the task has no more rows than are folded
 */
export function extraRowBytes(planned: PlannedTensor & { kind: 'rows' }): number {
  const { tensor, rows, info } = planned
  return (tensor.elements / rows) * ((info.shape[0] ?? 0) - rows) * floatBytes(tensor.dtype)
}
