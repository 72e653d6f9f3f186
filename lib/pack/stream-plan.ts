import { byteLength, dtypeBits } from '../checkpoint/dtypes.js'
import { compareNames } from '../checkpoint/names.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { type PlannedTensor, type PlannedWhole, plannedWhole } from './delta-plan.js'
import { chooseStems } from './delta-stems.js'
import { ARRAY_ALIGNMENT, DELTA_FILE, MAX_HEADER_BYTES, type TaskTensor } from './pack-format.js'
import type { StoredEntry } from './render-delta-header.js'
import { renderStreamHeader, STREAM_ARRAYS, type StreamHeader, type StreamNames } from './stream-header.js'

const LENGTH_PREFIX = 8

/** The one delta file of a task with a stream codec, before anything is coded. */
export interface StreamFilePlan {
  /** Name inside the task's folder. */
  fileName: string
  /** The header without the step; `coded` null: nothing will be coded. */
  header: Omit<StreamHeader, 'step'>
  /** Length prefix and header with its padding: the codes begin here. */
  headerBytes: number
  /** Copied behind the arrays, in this order. */
  wholes: PlannedWhole[]
}

/**
 * Plans the delta file of a stream codec and reserves room for its header.
 *
 * @param tensors - all tensors of the task, in any order
 * @param facts - codec, task, whether anything is coded, and tensors of merged/ that the task lacks
 * @returns the file
 * @throws TaskfoldError INVALID_ARGUMENT when the descriptions exceed the format's header limit
 */
export function planStreamFile(
  tensors: readonly PlannedTensor[],
  facts: Pick<StreamHeader, 'codec' | 'task'> & { absent: readonly string[]; coded: boolean },
): StreamFilePlan {
  const { codec, task } = facts
  const described = tensors.filter(({ kind }) => kind !== 'delta')
  described.sort((a, b) => compareNames(a.name, b.name))
  const stems = chooseStems(described)
  const stemmed = described.map((tensor) => ({ ...tensor, stem: stems.get(tensor.name) ?? '' }))
  const wholes = stemmed.flatMap(plannedWhole)
  wholes.sort((a, b) => dtypeBits(b.dtype) - dtypeBits(a.dtype) || compareNames(a.stored, b.stored))
  const header = {
    ...{ codec, task, coded: facts.coded ? streamNames(wholes) : null },
    absent: [...facts.absent].sort(compareNames),
    tensors: new Map(stemmed.map((tensor): [string, TaskTensor] => [tensor.name, describe(tensor)])),
  }
  const most = Number.MAX_SAFE_INTEGER
  const longest = (entry: Omit<StoredEntry, 'begin' | 'end'>) => ({ ...entry, begin: most, end: most })
  const arrays = Object.values(header.coded ?? {}).map((name) =>
    longest({ name, dtype: 'U8', shape: [most] }),
  )
  const stored = wholes.map(({ stored: name, dtype, shape }) => longest({ name, dtype, shape }))
  // The longest decimal that an f32 prints as.
  const text = renderStreamHeader({ ...header, step: Math.fround(1.1754943508222875e-38) }, [
    ...arrays,
    ...stored,
  ])
  const headerBytes =
    LENGTH_PREFIX + Math.ceil((Buffer.byteLength(text) + 16) / ARRAY_ALIGNMENT) * ARRAY_ALIGNMENT
  if (headerBytes > MAX_HEADER_BYTES) {
    throw new TaskfoldError('INVALID_ARGUMENT', `the names of task '${task}' fit no header`, {
      task,
      hint: 'use codec exact, which writes several files',
    })
  }
  return { fileName: DELTA_FILE, header, headerBytes, wholes }
}

/** The names of the arrays: `taskfold.codes` and so on, with `~1`, `~2`… when a tensor has one of them. */
function streamNames(wholes: readonly PlannedWhole[]): StreamNames {
  const taken = new Set(wholes.map(({ stored }) => stored))
  for (let i = 0; ; i++) {
    const suffix = i === 0 ? '' : `~${i}`
    const names = Object.fromEntries(STREAM_ARRAYS.map((array) => [array, `taskfold.${array}${suffix}`]))
    if (!Object.values(names).some((name) => taken.has(name))) return names as StreamNames
  }
}

function describe(tensor: PlannedTensor & { stem: string }): TaskTensor {
  const shape = [...tensor.shape]
  switch (tensor.kind) {
    case 'delta':
      throw new TaskfoldError('INTERNAL', `${tensor.name} is coded, not described`)
    case 'rows': {
      const { kind, dtype, stem, rows } = tensor
      return { kind, dtype, shape, stem, rows, kept: 0, index: 'u16' }
    }
    case 'whole':
      return { kind: 'whole', dtype: tensor.dtype, shape, stem: tensor.stem }
    case 'same':
      return { kind: 'same', dtype: tensor.dtype, shape }
    case 'alias':
      return { kind: 'alias', dtype: tensor.dtype, shape, of: tensor.of }
  }
}

/** What a finished stream takes in its file, without padding. */
export type StreamLengths = Record<(typeof STREAM_ARRAYS)[number], number>

/** A finished delta file. */
export interface StreamLayout {
  /** Length prefix, header and padding: exactly the plan's headerBytes. */
  header: Uint8Array
  /** Where each array begins. */
  arrays: StreamLengths
  /** What is copied where: `length` bytes of the task's tensor `name` from `fromByte` on, to `offset`. */
  wholes: { name: string; fromByte: number; offset: number; length: number }[]
  /** Length of the file. */
  fileBytes: number
}

/**
 * Lays out a delta file whose stream is known.
 *
 * @param plan - the file
 * @param step - Δ
 * @param lengths - of the arrays
 * @returns header and places
 * @throws TaskfoldError INTERNAL when the header outgrew its room
 */
export function layoutStreamFile(plan: StreamFilePlan, step: number, lengths: StreamLengths): StreamLayout {
  let end = plan.headerBytes
  const stored: StoredEntry[] = []
  const place = (entry: Omit<StoredEntry, 'begin' | 'end'>, length: number) => {
    const offset = end
    end += length
    stored.push({ ...entry, begin: offset - plan.headerBytes, end: end - plan.headerBytes })
    return offset
  }
  const arrays: StreamLengths = { codes: end, tables: end, directory: end }
  for (const array of plan.header.coded === null ? [] : STREAM_ARRAYS) {
    const padded = Math.ceil(lengths[array] / ARRAY_ALIGNMENT) * ARRAY_ALIGNMENT
    arrays[array] = place({ name: plan.header.coded![array], dtype: 'U8', shape: [padded] }, padded)
  }
  const wholes = plan.wholes.map(({ name, stored: storedName, dtype, shape, fromByte, length }) => {
    return { name, fromByte, offset: place({ name: storedName, dtype, shape }, length), length }
  })
  const text = Buffer.from(renderStreamHeader({ ...plan.header, step }, stored))
  if (text.length > plan.headerBytes - LENGTH_PREFIX) {
    throw new TaskfoldError('INTERNAL', `the header of task '${plan.header.task}' outgrew its room`)
  }
  const header = Buffer.alloc(plan.headerBytes, ' ')
  header.writeBigUInt64LE(BigInt(plan.headerBytes - LENGTH_PREFIX))
  text.copy(header, LENGTH_PREFIX)
  return { header, arrays, wholes, fileBytes: end }
}

/**
 * Bytes that a task keeps whole beside its stream.
 *
 * @param plan - the file
 * @returns their sum
 */
export function wholeBytes({ wholes }: StreamFilePlan): number {
  return wholes.reduce((sum, { dtype, shape }) => sum + byteLength(dtype, shape), 0)
}
