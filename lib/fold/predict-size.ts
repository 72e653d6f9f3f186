import { blockCount, floatBytes } from '../pack/stored-arrays.js'
import { extraRowBytes } from './extra-rows.js'
import type { FoldSettings } from './fold-options.js'
import { keptCount } from './kept-count.js'
import type { MergeableTensor } from './plan-tensors.js'
import type { PlannedTask, TaskPrediction } from './plan-types.js'
import { streamTarget } from './stream-target.js'

/** Value, index and blocks are each padded to 8 bytes. */
const PADDING = 3 * 7
/** Tables and directory of a stream without codes, at most. */
const STREAM_ROOM = 4096

/**
 * Upper bound of what a task's folder takes. With scope tensor the values are exact; with scope global the k entries
 * may fall anywhere: values are counted in the widest dtypes, and the index as if spread evenly, which is its worst
 * case (an index costs min(2k, n/8) bytes, a concave function).
 *
 * @param task - the planned task
 * @param mergeable - the tensors that are folded
 * @param settings - density, scope and index code
 * @param overhead - bytes of the delta's headers and of the task's other files
 * @returns bytes by what they are spent on
 */
export function predictSize(
  task: PlannedTask,
  mergeable: readonly MergeableTensor[],
  settings: Pick<FoldSettings, 'density' | 'scope' | 'index' | 'codec' | 'target'>,
  overhead: number,
): TaskPrediction {
  const elements = mergeable.reduce((sum, tensor) => sum + tensor.elements, 0)
  const delta =
    settings.codec === 'step'
      ? streamBound(mergeable, elements, settings)
      : settings.scope === 'global'
        ? globalBound(mergeable, elements, settings)
        : tensorBound(mergeable, settings)
  let whole = 0
  for (const tensor of task.tensors) {
    if (tensor.kind === 'keep') whole += tensor.info.length
    else if (tensor.kind === 'rows') whole += extraRowBytes(tensor)
  }
  return {
    name: task.name,
    bytes: delta.values + delta.index + delta.padding + whole + overhead,
    values: delta.values,
    index: delta.index,
    whole,
    overhead: overhead + delta.padding,
    originalBytes: task.checkpoint.totalBytes,
    kept: delta.kept,
    elements,
  }
}

/** The target, which is never exceeded but by the tables of a model that is smaller than they are. */
function streamBound(
  mergeable: readonly MergeableTensor[],
  elements: number,
  { target }: Pick<FoldSettings, 'target'>,
): DeltaBound {
  const values = elements === 0 ? 0 : streamTarget({ settings: { target }, mergeable, elements })
  return { kept: elements, values, index: 0, padding: PADDING + STREAM_ROOM }
}

interface DeltaBound {
  kept: number
  values: number
  index: number
  padding: number
}

function globalBound(
  mergeable: readonly MergeableTensor[],
  elements: number,
  { density, index }: Pick<FoldSettings, 'density' | 'index'>,
): DeltaBound {
  const kept = keptCount(density, elements)
  if (kept === 0) return { kept, values: 0, index: 0, padding: 0 }
  const byDtype = new Map<number, number>()
  for (const tensor of mergeable) {
    const bytes = floatBytes(tensor.dtype)
    byDtype.set(bytes, (byDtype.get(bytes) ?? 0) + tensor.elements)
  }
  let values = 0
  let left = kept
  for (const [bytes, available] of [...byDtype].sort(([a], [b]) => b - a)) {
    const taken = Math.min(left, available)
    values += taken * bytes
    left -= taken
  }
  const bitmaps = mergeable.reduce((sum, tensor) => sum + Math.ceil(tensor.elements / 8), 0)
  const positions = index === 'u16' ? 2 * kept : index === 'bitmap' ? bitmaps : Math.min(2 * kept, bitmaps)
  const blocks = mergeable.reduce((sum, tensor) => sum + blockBytes(tensor.elements, kept), 0)
  return { kept, values, index: positions + blocks, padding: PADDING * Math.min(kept, mergeable.length) }
}

function tensorBound(
  mergeable: readonly MergeableTensor[],
  { density, index }: Pick<FoldSettings, 'density' | 'index'>,
): DeltaBound {
  const sum: DeltaBound = { kept: 0, values: 0, index: 0, padding: 0 }
  for (const tensor of mergeable) {
    const kept = keptCount(density, tensor.elements)
    if (kept === 0) continue
    const bitmap = Math.ceil(tensor.elements / 8)
    sum.kept += kept
    sum.values += kept * floatBytes(tensor.dtype)
    sum.index += index === 'u16' ? 2 * kept : index === 'bitmap' ? bitmap : Math.min(2 * kept, bitmap)
    sum.index += blockBytes(tensor.elements, kept)
    sum.padding += PADDING
  }
  return sum
}

function blockBytes(elements: number, kept: number): number {
  return elements === 0 ? 0 : (blockCount(elements) + 1) * (kept >= 2 ** 32 ? 8 : 4)
}
