import type { FloatDtype } from '../binding/binding-types.js'
import type { TensorInfo } from '../checkpoint/checkpoint-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { compareNames } from '../checkpoint/names.js'
import type { FoldSettings } from './fold-options.js'
import type { MergeableTensor, MergedTensor, PlannedTensor } from './plan-tensors.js'
import type { ModelInputs, PlannedTask, Tie } from './plan-types.js'

/** What {@link matchTensors} finds out by name, dtype and shape. */
export interface MatchedTensors {
  /** In bytewise order of their names. */
  mergeable: MergeableTensor[]
  /** All tensors of the base, in bytewise order of their names. */
  merged: MergedTensor[]
  tasks: PlannedTask[]
}

/**
 * Gives every tensor of every model its role.
 *
 * @param inputs - the opened models
 * @param settings - storage dtype and what to do with tables that grew
 * @param ties - names to store once
 * @returns the roles; the same for the same headers and settings
 */
export function matchTensors(
  inputs: ModelInputs,
  settings: Pick<FoldSettings, 'dtype' | 'rows'>,
  ties: readonly Tie[],
): MatchedTensors {
  const aliases = new Map(ties.flatMap((tie) => tie.names.map((name) => [name, tie.of] as const)))
  const mergeable = new Map<string, MergeableTensor>()
  const merged = sorted(inputs.base.tensors).map((base): MergedTensor => {
    const of = aliases.get(base.name)
    const tensor = foldable(base, inputs, settings)
    const common = { name: base.name, dtype: tensor?.dtype ?? base.dtype, shape: base.shape }
    if (of !== undefined) return { ...common, kind: 'tied', of }
    if (tensor === null) return { ...common, kind: 'copy', base }
    mergeable.set(base.name, tensor)
    return { ...common, kind: 'merge', tensor }
  })
  const tasks = inputs.tasks.map(({ name, checkpoint }, place): PlannedTask => {
    const missing = merged.filter((tensor) => tensor.kind !== 'tied' && !checkpoint.tensors.has(tensor.name))
    return {
      name,
      checkpoint,
      place,
      missing: missing.map((tensor) => tensor.name),
      tensors: sorted(checkpoint.tensors).map((info) =>
        plannedTensor(info, mergeable.get(info.name), aliases.get(info.name), inputs),
      ),
    }
  })
  return { mergeable: [...mergeable.values()], merged, tasks }
}

function sorted(tensors: ReadonlyMap<string, TensorInfo>): TensorInfo[] {
  return [...tensors.values()].sort((a, b) => compareNames(a.name, b.name))
}

function plannedTensor(
  info: TensorInfo,
  tensor: MergeableTensor | undefined,
  of: string | undefined,
  { base }: ModelInputs,
): PlannedTensor {
  const { name } = info
  if (of !== undefined) return { name, info, kind: 'alias', of }
  if (tensor === undefined) {
    const other = base.tensors.get(name)
    const maySame = other !== undefined && other.dtype === info.dtype && sameShape(other.shape, info.shape)
    return { name, info, kind: 'keep', maySame, reason: keepReason(info, other) }
  }
  const whole = tensor.rows === null || (sameShape(info.shape, tensor.shape) && tensor.rows === info.shape[0])
  return whole
    ? { name, info, kind: 'delta', tensor }
    : { name, info, kind: 'rows', tensor, rows: tensor.rows ?? 0 }
}

function keepReason(info: TensorInfo, other: TensorInfo | undefined): string {
  if (other === undefined) return 'the base has no tensor of this name'
  if (!isFloatDtype(info.dtype)) return `${info.dtype} is not a dtype that can be merged`
  if (!isFloatDtype(other.dtype)) return `the base has it as ${other.dtype}, which cannot be merged`
  if (!sameShape(info.shape, other.shape)) {
    return `shape [${info.shape.join(', ')}] differs from the base's [${other.shape.join(', ')}]`
  }
  return 'another task lacks it or has it with another shape or dtype'
}

/** A tensor that can be folded over all its elements, over its first rows, or not at all. */
function foldable(
  base: TensorInfo,
  inputs: ModelInputs,
  settings: Pick<FoldSettings, 'dtype' | 'rows'>,
): MergeableTensor | null {
  const tasks: TensorInfo[] = []
  for (const { checkpoint } of inputs.tasks) {
    const info = checkpoint.tensors.get(base.name)
    if (info === undefined || !isFloatDtype(info.dtype)) return null
    tasks.push(info)
  }
  if (!isFloatDtype(base.dtype)) return null
  const dtype: FloatDtype = settings.dtype === 'keep' ? base.dtype : settings.dtype
  const { name, shape } = base
  if (tasks.every((info) => sameShape(info.shape, shape))) {
    return { name, dtype, shape, rows: null, elements: base.elements, base, tasks }
  }
  if (settings.rows !== 'prefix' || !tasks.every((info) => sameRows(info.shape, shape))) return null
  const rows = Math.min(...[base, ...tasks].map((info) => info.shape[0] ?? 0))
  const rowElements = shape.slice(1).reduce((product, extent) => product * extent, 1)
  if (rows === 0 || rowElements === 0) return null
  return { name, dtype, shape, rows, elements: rows * rowElements, base, tasks }
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, i) => extent === b[i])
}

function sameRows(a: readonly number[], b: readonly number[]): boolean {
  return a.length > 0 && a.length === b.length && a.every((extent, i) => i === 0 || extent === b[i])
}
