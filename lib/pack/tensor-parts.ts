import type { DeltaRegions, FloatDtype, IndexCode, ValueCode } from '../binding/binding-types.js'
import type { NativeFiles } from '../binding/native-files.js'
import type { DeltaArrays, FileRange, PackStream, PackTask, PackTensor } from './pack-types.js'
import { floatBytes } from './stored-arrays.js'

/** A run of a tensor's bytes: copied as stored, or θ* with the delta's positions replaced. */
export type TensorPart = {
  /** Tensor that the bytes are described under: of a tied one, what it is tied to. */
  tensor: string
  /** First byte inside the tensor. */
  at: number
  /** Length in bytes, never 0. */
  length: number
  /** Copied bytes, or θ*'s. */
  from: FileRange
  /** null: a plain copy. */
  delta: PartDelta | null
}

/** What {@link TensorPart} changes in θ*: listed entries, or a tensor of a stream. */
export type PartDelta = SparseDelta | StreamDelta

/** A tensor of a stream. */
export interface StreamDelta {
  elements: number
  dtype: FloatDtype
  /** The task's. */
  stream: PackStream
  /** Its place among the coded tensors. */
  place: number
}

/** Entries of a delta. */
export interface SparseDelta {
  stream?: undefined
  elements: number
  dtype: FloatDtype
  kept: number
  index: IndexCode
  values: ValueCode
  /** Values sign, else null. */
  scale: number | null
  arrays: DeltaArrays
}

/**
 * Tells which bytes of the family make one tensor of a task; ties are followed to what they are tied to.
 *
 * @param task - one of its open tasks
 * @param tensor - one of the task's tensors
 * @returns the parts in order; together they are the whole tensor, none for an empty one
 */
export function tensorParts(task: PackTask, tensor: PackTensor): TensorPart[] {
  if (tensor.kind === 'alias') return tensorParts(task, task.tensors.get(tensor.of)!)
  if (tensor.kind === 'whole') return [part(tensor, 0, tensor.stored!)].filter(hasBytes)
  const base = task.merged.tensors.get(tensor.name)!
  if (tensor.kind === 'same') return [part(tensor, 0, base)].filter(hasBytes)
  const { deltaElements: elements, dtype } = tensor
  const head: TensorPart = {
    tensor: tensor.name,
    at: 0,
    length: elements * floatBytes(dtype),
    from: { file: base.file, offset: base.offset, length: elements * floatBytes(dtype) },
    delta: partDelta(task, tensor),
  }
  return [head, ...(tensor.stored === null ? [] : [part(tensor, head.length, tensor.stored)])].filter(
    hasBytes,
  )
}

function partDelta(task: PackTask, tensor: PackTensor & { kind: 'delta' | 'rows' }): PartDelta | null {
  const {
    deltaElements: elements,
    dtype,
    coded,
    kept,
    index,
    arrays,
    values = 'plain',
    scale = null,
  } = tensor
  if (coded !== null) return { elements, dtype, stream: task.stream!, place: coded }
  return arrays === null ? null : { elements, dtype, kept, index, arrays, values, scale }
}

/**
 * The file that an error of a part is about: its delta's own, because θ* is only copied.
 *
 * @param part - of a tensor
 * @returns its path
 */
export function inputOf({ from, delta }: TensorPart): string {
  if (delta === null) return from.file
  return delta.stream === undefined ? delta.arrays.value.file : delta.stream.codes.file
}

/**
 * Entries of a delta as native jobs take them.
 *
 * @param delta - of a part
 * @param files - opens its file
 * @returns regions of its arrays
 * @throws TaskfoldError NOT_FOUND, IO_ERROR
 */
export function deltaRegions(
  { kept, index, values, scale, arrays }: SparseDelta,
  files: NativeFiles,
): DeltaRegions {
  const region = (range: FileRange | null) => (range === null ? null : files.region(range))
  return {
    ...{ kept, index, values, scale, value: files.region(arrays.value) },
    indexBytes: region(arrays.index),
    blocks: region(arrays.blocks),
    scales: region(arrays.scale),
  }
}

function part({ name }: PackTensor, at: number, { file, offset, length }: FileRange): TensorPart {
  return { tensor: name, at, length, from: { file, offset, length }, delta: null }
}

function hasBytes({ length }: TensorPart): boolean {
  return length > 0
}
