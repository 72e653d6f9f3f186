import type { SparseCodec } from '../binding/binding-types.js'
import {
  type DeltaFilePlan,
  type PlannedTensor as PackPlannedTensor,
  planDeltaFiles,
} from '../pack/delta-plan.js'
import type { PlannedTensor } from './plan-tensors.js'
import type { PlannedTask } from './plan-types.js'

/**
 * Plans a task's delta files.
 *
 * @param task - the planned task
 * @param same - names of tensors that turned out to equal merged/'s; before that is known, all are taken as whole
 * @param codec - of the task's remainder
 * @returns the files, at least one
 */
export function planTaskFiles(
  task: PlannedTask,
  same: ReadonlySet<string> = new Set(),
  codec: SparseCodec = 'exact',
): DeltaFilePlan[] {
  const byName = new Map(task.tensors.map((tensor) => [tensor.name, tensor]))
  return planDeltaFiles(
    task.tensors.map((tensor) => packTensor(tensor, same, byName)),
    { task: task.name, codec },
  )
}

/**
 * @param tensor - of a task
 * @param same - names of tensors that equal merged/'s
 * @param byName - all tensors of the task
 * @returns it as the pack describes it
 */
export function packTensor(
  tensor: PlannedTensor,
  same: ReadonlySet<string>,
  byName: ReadonlyMap<string, PlannedTensor>,
): PackPlannedTensor {
  const { name, info } = tensor
  const { shape } = info
  switch (tensor.kind) {
    case 'delta':
      return { name, kind: 'delta', dtype: tensor.tensor.dtype, shape }
    case 'rows':
      return { name, kind: 'rows', dtype: tensor.tensor.dtype, shape, rows: tensor.rows }
    case 'keep':
      return same.has(name)
        ? { name, kind: 'same', dtype: info.dtype, shape }
        : { name, kind: 'whole', dtype: info.dtype, shape }
    case 'alias': {
      const stored = byName.get(tensor.of)
      const dtype = stored?.kind === 'delta' || stored?.kind === 'rows' ? stored.tensor.dtype : info.dtype
      return { name, kind: 'alias', dtype, shape, of: tensor.of }
    }
  }
}
