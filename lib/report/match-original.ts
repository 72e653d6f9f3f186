import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { dtypeBits, isFloatDtype } from '../checkpoint/dtypes.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { FileRange, PackTask, PackTensor } from '../pack/pack-types.js'
import { type TensorPart, tensorParts } from '../pack/tensor-parts.js'

/** A part of an unfolded tensor and the same part of the original. */
export interface Comparison {
  tensor: PackTensor
  part: TensorPart
  original: TensorInfo
  /** The part's bytes in the original. */
  range: FileRange
  /** Compared as numbers; otherwise byte for byte. */
  float: boolean
  /** Elements that were not kept may differ. */
  lossy: boolean
}

/** What of a task and its original can be compared, and what not. */
export interface MatchedOriginal {
  comparisons: Comparison[]
  /** Tensors whose original has another dtype and is converted before it is compared. */
  converted: number
  problems: TaskfoldError[]
}

/**
 * Pairs a task's tensors with its original's, from headers alone.
 *
 * @param task - the open task
 * @param sound - names of deltas that follow the format; others are left out
 * @param original - the task's original checkpoint
 * @returns what to compare, and missing, extra and mismatched tensors as problems
 */
export function matchOriginal(
  task: PackTask,
  sound: ReadonlySet<string>,
  original: Checkpoint,
): MatchedOriginal {
  const matched: MatchedOriginal = { comparisons: [], converted: 0, problems: [] }
  for (const tensor of task.tensors.values()) {
    // A tied tensor is compared by what it is tied to.
    const source = tensor.kind === 'alias' ? task.tensors.get(tensor.of)! : tensor
    const found = original.tensors.get(tensor.name)
    const mismatch = found === undefined ? 'is missing, but the task has it' : misfit(tensor, source, found)
    if (found === undefined || mismatch !== null) {
      matched.problems.push(differs(original, task, tensor.name, mismatch ?? 'is missing'))
      continue
    }
    if (found.dtype !== tensor.dtype) matched.converted++
    if ((source.arrays !== null || source.coded !== null) && !sound.has(source.name)) continue
    for (const part of tensorParts(task, tensor)) {
      const scale = dtypeBits(found.dtype) / dtypeBits(tensor.dtype)
      matched.comparisons.push({
        tensor,
        part,
        original: found,
        range: { file: found.file, offset: found.offset + part.at * scale, length: part.length * scale },
        float: isFloatDtype(tensor.dtype) && isFloatDtype(found.dtype),
        lossy: source.kind === 'delta' || (source.kind === 'rows' && part.at === 0),
      })
    }
  }
  for (const name of original.tensors.keys()) {
    if (!task.tensors.has(name)) matched.problems.push(differs(original, task, name, 'is not in the task'))
  }
  return matched
}

/**
 * A difference between a task and its original.
 *
 * @param original - the original checkpoint
 * @param task - the open task
 * @param tensor - name of the tensor
 * @param text - what differs, after the tensor's name
 * @returns VERIFY_FAILED for the list of problems
 */
export function differs(
  original: Checkpoint,
  task: Pick<PackTask, 'name'>,
  tensor: string,
  text: string,
): TaskfoldError {
  const message = `task '${task.name}': tensor ${quoteName(tensor)} of ${original.source} ${text}`
  return new TaskfoldError('VERIFY_FAILED', message, {
    file: original.tensors.get(tensor)?.file ?? original.folder,
    task: task.name,
    tensor,
    hint: 'compare with the checkpoint that was folded',
  })
}

function misfit(tensor: PackTensor, source: PackTensor, found: TensorInfo): string | null {
  if (found.shape.length !== tensor.shape.length || found.shape.some((n, i) => n !== tensor.shape[i])) {
    return `has shape [${found.shape.join(', ')}], but the task [${tensor.shape.join(', ')}]`
  }
  if (found.dtype === tensor.dtype) return null
  // Only what is merged is ever converted, to the merged checkpoint's dtype.
  const convertible = isFloatDtype(found.dtype) && isFloatDtype(tensor.dtype) && source.kind !== 'whole'
  return convertible ? null : `is ${found.dtype}, but the task has ${tensor.dtype}`
}
