import type { MergeTensor, Operand, ResidualTensor } from '../binding/binding-types.js'
import type { TensorInfo } from '../checkpoint/checkpoint-types.js'
import { floatBytes } from '../pack/stored-arrays.js'
import type { FoldRun } from './fold-run.js'
import type { MergedTargets } from './merged-targets.js'
import type { MergeableTensor } from './plan-tensors.js'

/**
 * @param run - the fold
 * @param targets - where θ* goes
 * @param tensor - a tensor to merge
 * @returns it as the native merge takes it: the folded rows of all models
 */
export function mergeOperands(run: FoldRun, targets: MergedTargets, tensor: MergeableTensor): MergeTensor {
  const { name, elements, dtype } = tensor
  return {
    name,
    elements,
    dtype,
    base: foldedPart(run, tensor, tensor.base),
    tasks: tensor.tasks.map((info) => foldedPart(run, tensor, info)),
    out: targets.region(name, elements * floatBytes(dtype)),
  }
}

/**
 * @param run - the fold
 * @param targets - where θ* is
 * @param tensor - a merged tensor
 * @returns it as the native counting pass takes it
 */
export function residualOperands(
  run: FoldRun,
  targets: MergedTargets,
  tensor: MergeableTensor,
): ResidualTensor {
  const { name, elements, dtype } = tensor
  return {
    name,
    elements,
    dtype,
    merged: targets.region(name, elements * floatBytes(dtype)),
    tasks: tensor.tasks.map((info) => foldedPart(run, tensor, info)),
  }
}

/**
 * @param run - open files
 * @param tensor - a mergeable tensor
 * @param info - it in one of the models
 * @returns the rows that are folded
 */
export function foldedPart(run: Pick<FoldRun, 'files'>, tensor: MergeableTensor, info: TensorInfo): Operand {
  return run.files.operand(info, info.elements === 0 ? 0 : (info.length / info.elements) * tensor.elements)
}

/**
 * @param tensor - a mergeable tensor
 * @param models - 'all': base and tasks; 'tasks': θ* and tasks
 * @returns bytes that a pass reads for it
 */
export function passBytes(tensor: MergeableTensor, models: 'all' | 'tasks'): number {
  const perElement = (info: TensorInfo) => (info.elements === 0 ? 0 : info.length / info.elements)
  const first = models === 'all' ? perElement(tensor.base) : floatBytes(tensor.dtype)
  return tensor.elements * tensor.tasks.reduce((sum, info) => sum + perElement(info), first)
}
