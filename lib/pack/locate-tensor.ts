import type { Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { type FieldContext, invalid } from './json-fields.js'
import { ARRAY_ALIGNMENT, type TaskTensor } from './pack-format.js'
import type { DeltaArrays, FileRange, PackTensor } from './pack-types.js'
import {
  ARRAY_SUFFIXES,
  type ArraySuffix,
  floatBytes,
  type StoredShape,
  storedArrays,
} from './stored-arrays.js'

/** Where {@link locateTensor} looks tensors up. */
export interface TensorSources {
  /** Takes a stored tensor of the delta file; undefined when it is not there or already taken. */
  claim(storedName: string): TensorInfo | undefined
  /** A tensor of merged/. */
  merged(name: string): TensorInfo | undefined
}

/**
 * Finds the stored arrays of one described tensor and checks them against the description.
 *
 * @param name - of the tensor
 * @param tensor - its description
 * @param sources - the delta file's stored tensors, and merged/
 * @param context - delta file and task, for messages
 * @returns the tensor with file ranges; aliases still without a byte length
 * @throws TaskfoldError PACK_INVALID
 */
export function locateTensor(
  name: string,
  tensor: TaskTensor,
  sources: TensorSources,
  context: FieldContext,
): PackTensor {
  const at = { ...context, tensor: name }
  const located: PackTensor = {
    ...tensor,
    name,
    elements: tensor.shape.reduce((product, extent) => product * extent, 1),
    byteLength: 0,
    deltaElements: 0,
    describedIn: context.file,
    arrays: null,
    coded: null,
    stored: null,
  }
  switch (tensor.kind) {
    case 'delta': {
      const base = mergedTensor(name, sources, at)
      expectTensor(base, tensor.dtype, tensor.shape, 'merged/', at)
      located.deltaElements = located.elements
      located.byteLength = base.length
      located.arrays = deltaArrays(tensor, located.elements, sources, at)
      return located
    }
    case 'rows': {
      const base = mergedTensor(name, sources, at)
      const [rows = -1, ...rest] = base.shape
      if (tensor.rows > rows || tensor.rows > (tensor.shape[0] ?? -1)) {
        throw invalid(
          at,
          `rows is ${tensor.rows}, but merged/ has ${shape(base.shape)} and the task ${shape(tensor.shape)}`,
        )
      }
      expectTensor(base, tensor.dtype, [rows, ...tensor.shape.slice(1)], 'merged/', at)
      located.deltaElements = rest.reduce((product, extent) => product * extent, tensor.rows)
      located.byteLength = located.elements * floatBytes(tensor.dtype)
      located.arrays = deltaArrays(tensor, located.deltaElements, sources, at)
      const extra = claim(`${tensor.stem}.rows`, sources, at)
      expectTensor(extra, tensor.dtype, [tensor.shape[0]! - tensor.rows, ...rest], 'the stored array', at)
      located.stored = range(extra)
      return located
    }
    case 'whole': {
      const stored = claim(tensor.stem, sources, at)
      expectTensor(stored, tensor.dtype, tensor.shape, 'the stored tensor', at)
      located.byteLength = stored.length
      located.stored = range(stored)
      return located
    }
    case 'same': {
      const base = mergedTensor(name, sources, at)
      expectTensor(base, tensor.dtype, tensor.shape, 'merged/', at)
      located.byteLength = base.length
      return located
    }
    case 'alias':
      return located
  }
}

function deltaArrays(
  tensor: TaskTensor & { kind: 'delta' | 'rows' },
  elements: number,
  sources: TensorSources,
  at: FieldContext,
): DeltaArrays | null {
  if (tensor.kept > elements) throw invalid(at, `kept is ${tensor.kept} of only ${elements} elements`)
  // Leftover arrays of a tensor that kept nothing stay unclaimed, which the caller reports.
  if (tensor.kept === 0) return null
  const { dtype, kept, index, values = 'plain' } = tensor
  if (index === 'all' && kept !== elements) {
    throw invalid(at, `index is all, but kept is ${kept} of ${elements} elements`)
  }
  const shapes = storedArrays({ dtype, elements, kept, index, values })
  const found = ARRAY_SUFFIXES.map((suffix) => {
    const expected = shapes[suffix]
    if (expected === undefined) return null
    const stored = claim(`${tensor.stem}.${suffix}`, sources, at)
    expectArray(stored, expected, suffix, at)
    if (stored.offset % ARRAY_ALIGNMENT !== 0) {
      throw invalid(
        at,
        `.${suffix} starts at byte ${stored.offset}, which is no multiple of ${ARRAY_ALIGNMENT}`,
      )
    }
    return range(stored)
  })
  const [value, positions, blocks, scale] = found as [FileRange, ...(FileRange | null)[]]
  return { value, index: positions ?? null, blocks: blocks ?? null, scale: scale ?? null }
}

/** Entropy codes have any length within bounds, which their own offsets tell; so much is read of no other array. */
function expectArray(found: TensorInfo, expected: StoredShape, suffix: ArraySuffix, at: FieldContext) {
  const { dtype, least, most, itemBytes } = expected
  const what = `the stored array .${suffix}`
  if (least === most) return expectTensor(found, dtype, [least], what, at)
  const [count = -1, ...rest] = found.shape
  const fits = count >= least && count <= most && (count * itemBytes) % ARRAY_ALIGNMENT === 0
  if (found.dtype === dtype && rest.length === 0 && fits) return
  throw invalid(
    at,
    `it needs ${dtype} [${least} to ${most}], but ${what} has ${found.dtype} ${shape(found.shape)}`,
  )
}

function claim(storedName: string, sources: TensorSources, at: FieldContext): TensorInfo {
  const stored = sources.claim(storedName)
  if (stored === undefined) {
    throw invalid(at, `${JSON.stringify(storedName)} is not stored in this file, or used by two tensors`)
  }
  return stored
}

function mergedTensor(name: string, sources: TensorSources, at: FieldContext): TensorInfo {
  const base = sources.merged(name)
  if (base === undefined) throw invalid(at, 'it builds on a tensor that merged/ does not have')
  return base
}

function expectTensor(
  found: TensorInfo,
  dtype: Dtype,
  extents: readonly number[],
  what: string,
  at: FieldContext,
) {
  const same =
    found.shape.length === extents.length && found.shape.every((extent, i) => extent === extents[i])
  if (found.dtype !== dtype || !same) {
    throw invalid(
      at,
      `it needs ${dtype} ${shape(extents)}, but ${what} has ${found.dtype} ${shape(found.shape)}`,
    )
  }
}

function range({ file, offset, length }: TensorInfo): FileRange {
  return { file, offset, length }
}

function shape(extents: readonly number[]): string {
  return `[${extents.join(', ')}]`
}
