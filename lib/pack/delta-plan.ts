import type { FloatDtype, SparseCodec } from '../binding/binding-types.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { byteLength, dtypeBits } from '../checkpoint/dtypes.js'
import { compareNames } from '../checkpoint/names.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { deltaFileName } from './delta-names.js'
import { chooseStems } from './delta-stems.js'
import { ARRAY_ALIGNMENT, MAX_HEADER_BYTES, type TaskTensor } from './pack-format.js'
import { renderDeltaHeader, type StoredEntry } from './render-delta-header.js'
import { ARRAY_SUFFIXES, blockCount, mostArrayBytes } from './stored-arrays.js'

/** A tensor of a task before it is known how many of its entries are kept. */
export type PlannedTensor =
  | { name: string; kind: 'delta'; dtype: FloatDtype; shape: readonly number[] }
  | { name: string; kind: 'rows'; dtype: FloatDtype; shape: readonly number[]; rows: number }
  | { name: string; kind: 'whole'; dtype: Dtype; shape: readonly number[] }
  | { name: string; kind: 'same'; dtype: Dtype; shape: readonly number[] }
  | { name: string; kind: 'alias'; dtype: Dtype; shape: readonly number[]; of: string }

/** Bytes of the task that are copied into a delta file as they are. */
export interface PlannedWhole {
  /** Tensor that they are taken from. */
  name: string
  /** Name in the delta file. */
  stored: string
  dtype: Dtype
  /** Of the stored tensor. */
  shape: number[]
  /** First byte of the task's tensor: 0, or where the extra rows begin. */
  fromByte: number
  /** Length in bytes. */
  length: number
}

/** What one delta file will hold. */
export interface DeltaFilePlan {
  /** Name inside the task's folder. */
  fileName: string
  task: string
  /** How its remainder is coded. */
  codec: SparseCodec
  /** Described tensors, in bytewise order of their names; `stem` is '' when nothing is stored. */
  tensors: (PlannedTensor & { stem: string })[]
  /** Length prefix and header with its padding: the arrays begin here. */
  headerBytes: number
  /** Tensors to emit, in this order and without gaps from `headerBytes` on. */
  deltas: string[]
  /** Copied behind the last array, in this order and without gaps. */
  wholes: PlannedWhole[]
  /** The file cannot become larger. */
  maxBytes: number
}

/** Options of {@link planDeltaFiles}. */
export interface DeltaPlanOptions {
  /** Name of the task. */
  task: string
  /** How its remainder is coded. Default exact. */
  codec?: SparseCodec
  /** A file takes no further tensor when the dense bytes of its tensors would exceed this. Default 5e9. */
  shardBytes?: number
}

/** The Hub's own default for shards. */
const DEFAULT_SHARD_BYTES = 5e9
const LENGTH_PREFIX = 8
/** Of any f32 no more digits are printed than of this one. */
const LONGEST_NUMBER = 0.0000012345678901234567
const LONGEST_CODES = {
  exact: { values: 'coded' },
  sign: { values: 'sign', scale: LONGEST_NUMBER },
  int4: { values: 'int4' },
} as const

/**
 * Distributes a task's tensors over delta files and reserves room for every file's header, from names, dtypes and shapes
 * alone: bodies can then be written before it is known how many entries each tensor keeps.
 *
 * @param tensors - all tensors of the task, in any order
 * @param options - task and shard size
 * @returns the files, at least one; the same tensors give the same files
 * @throws TaskfoldError INVALID_ARGUMENT when one tensor's description alone exceeds the format's header limit
 */
export function planDeltaFiles(
  tensors: readonly PlannedTensor[],
  options: DeltaPlanOptions,
): DeltaFilePlan[] {
  const { task, codec = 'exact', shardBytes = DEFAULT_SHARD_BYTES } = options
  const of = { task, codec }
  const sorted = [...tensors].sort((a, b) => compareNames(a.name, b.name))
  const stems = chooseStems(sorted, codec)
  const stemmed = sorted.map((tensor) => ({ ...tensor, stem: stems.get(tensor.name) ?? '' }))
  // Tensors without bytes come first, so that they are described in the first file.
  const order = [...stemmed.filter((t) => !storesBytes(t)), ...stemmed.filter(storesBytes)]
  const files: Stemmed[][] = [[]]
  const empty = headerBytes(of, [])
  let dense = 0
  let header = empty
  for (const tensor of order) {
    const bytes = storesBytes(tensor) ? byteLength(tensor.dtype, tensor.shape) : 0
    // Twice the alignment covers rounding and the commas between neighbours.
    const text = headerBytes(of, [tensor]) - empty + 2 * ARRAY_ALIGNMENT
    if (empty + text > MAX_HEADER_BYTES) {
      throw new TaskfoldError(
        'INVALID_ARGUMENT',
        `a tensor's name of ${tensor.name.length} characters fits no header`,
        {
          tensor: tensor.name,
          task,
          hint: 'rename the tensor',
        },
      )
    }
    const current = files.at(-1)!
    if (
      current.length > 0 &&
      ((bytes > 0 && dense > 0 && dense + bytes > shardBytes) || header + text > MAX_HEADER_BYTES)
    ) {
      files.push([tensor])
      dense = bytes
      header = empty + text
    } else {
      current.push(tensor)
      dense += bytes
      header += text
    }
  }
  return files.map((file, i) => planFile(deltaFileName(i, files.length), of, file))
}

type Stemmed = PlannedTensor & { stem: string }

function storesBytes(tensor: PlannedTensor): boolean {
  return tensor.kind !== 'same' && tensor.kind !== 'alias'
}

/** What every file of a task says of it. */
type TaskFacts = Pick<DeltaFilePlan, 'task' | 'codec'>

function planFile(fileName: string, of: TaskFacts, members: Stemmed[]): DeltaFilePlan {
  const tensors = members.sort((a, b) => compareNames(a.name, b.name))
  const deltas = tensors.filter((tensor) => tensor.kind === 'delta' || tensor.kind === 'rows')
  const wholes = tensors.flatMap(plannedWhole)
  // Larger items first: behind arrays that end on 8 bytes, each starts at a multiple of its own size.
  wholes.sort((a, b) => dtypeBits(b.dtype) - dtypeBits(a.dtype) || compareNames(a.stored, b.stored))
  const body =
    deltas.reduce(
      (sum, tensor) => sum + mostArrayBytes(of.codec, tensor.dtype as FloatDtype, deltaElements(tensor)),
      0,
    ) + wholes.reduce((sum, w) => sum + w.length, 0)
  const reserved = headerBytes(of, tensors, body)
  return {
    fileName,
    ...of,
    tensors,
    headerBytes: reserved,
    deltas: deltas.map((tensor) => tensor.name),
    wholes,
    maxBytes: reserved + body,
  }
}

/**
 * What of a tensor is copied into a delta file as it is.
 *
 * @param tensor - with its stem
 * @returns the whole tensor, its extra rows, or nothing
 */
export function plannedWhole(tensor: PlannedTensor & { stem: string }): PlannedWhole[] {
  const { name, dtype, stem } = tensor
  if (tensor.kind === 'whole') {
    const shape = [...tensor.shape]
    return [{ name, stored: stem, dtype, shape, fromByte: 0, length: byteLength(dtype, shape) }]
  }
  if (tensor.kind !== 'rows') return []
  const [rows = 0, ...rest] = tensor.shape
  const shape = [rows - tensor.rows, ...rest]
  const fromByte = byteLength(dtype, [tensor.rows, ...rest])
  return [{ name, stored: `${stem}.rows`, dtype, shape, fromByte, length: byteLength(dtype, shape) }]
}

/** Elements that the delta of a tensor ranks over. */
function deltaElements(tensor: PlannedTensor): number {
  const extents = tensor.kind === 'rows' ? [tensor.rows, ...tensor.shape.slice(1)] : tensor.shape
  return extents.reduce((product, extent) => product * extent, 1)
}

/**
 * Renders the longest header that these tensors can get: all arrays present, every number with the most digits, no
 * offset above `offset`.
 */
function headerBytes(
  { task, codec }: TaskFacts,
  tensors: readonly Stemmed[],
  offset = Number.MAX_SAFE_INTEGER,
): number {
  const stored: StoredEntry[] = []
  const described = tensors.map((tensor): [string, TaskTensor] => {
    const { name: _, ...description } = tensor
    const shape = [...tensor.shape]
    if (tensor.kind !== 'delta' && tensor.kind !== 'rows') {
      return [tensor.name, { ...description, shape } as TaskTensor]
    }
    const elements = deltaElements(tensor)
    const count = Math.max(
      mostArrayBytes(codec, tensor.dtype, elements),
      blockCount(elements) + 1 + ARRAY_ALIGNMENT,
    )
    for (const suffix of ARRAY_SUFFIXES) {
      if (suffix === 'scale' && codec !== 'int4') continue
      const dtype = suffix === 'value' ? tensor.dtype : 'U16'
      stored.push({ name: `${tensor.stem}.${suffix}`, dtype, shape: [count], begin: offset, end: offset })
    }
    const codes = { index: 'bitmap', ...LONGEST_CODES[codec] }
    return [tensor.name, { ...description, shape, kept: elements, ...codes } as TaskTensor]
  })
  for (const whole of tensors.flatMap(plannedWhole)) {
    stored.push({ name: whole.stored, dtype: whole.dtype, shape: whole.shape, begin: offset, end: offset })
  }
  const length = Buffer.byteLength(renderDeltaHeader(task, described, stored, codec))
  return LENGTH_PREFIX + Math.ceil(length / ARRAY_ALIGNMENT) * ARRAY_ALIGNMENT
}
