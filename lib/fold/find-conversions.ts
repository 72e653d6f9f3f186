import { isFloatDtype, widens } from '../checkpoint/dtypes.js'
import type { MergeableTensor } from './plan-tensors.js'
import type { DtypeConversion, ModelInputs } from './plan-types.js'

/**
 * Lists which models have tensors in another dtype than they are stored in, and whether storing them loses anything.
 *
 * @param inputs - the opened models
 * @param mergeable - the tensors that are folded
 * @returns one entry per model and pair of dtypes; the base first
 */
export function findConversions(
  inputs: ModelInputs,
  mergeable: readonly MergeableTensor[],
): DtypeConversion[] {
  const found: DtypeConversion[] = []
  const names = [null, ...inputs.tasks.map((task) => task.name)]
  for (const [place, task] of names.entries()) {
    const pairs = new Map<string, DtypeConversion>()
    for (const tensor of mergeable) {
      const info = place === 0 ? tensor.base : tensor.tasks[place - 1]!
      if (info.dtype === tensor.dtype || !isFloatDtype(info.dtype)) continue
      const key = `${info.dtype} ${tensor.dtype}`
      const pair = pairs.get(key) ?? {
        task,
        from: info.dtype,
        to: tensor.dtype,
        tensors: 0,
        elements: 0,
        exact: widens(info.dtype, tensor.dtype),
      }
      pair.tensors += 1
      pair.elements += tensor.elements
      pairs.set(key, pair)
    }
    found.push(...pairs.values())
  }
  return found
}
