import type { CodedTensor, StreamCodec } from '../binding/binding-types.js'
import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { compareNames } from '../checkpoint/names.js'
import { quoteName } from '../errors/quote-name.js'
import { type FieldContext, invalid } from './json-fields.js'
import { locateTensor, type TensorSources } from './locate-tensor.js'
import { ARRAY_ALIGNMENT } from './pack-format.js'
import type { FileRange, PackStream, PackTensor } from './pack-types.js'
import { parseStreamHeader, STREAM_ARRAYS, type StreamHeader } from './stream-header.js'

/** What the delta file of a stream codec holds. */
export interface OpenedStream {
  tensors: Map<string, PackTensor>
  /** null: nothing is coded. */
  stream: PackStream | null
}

/**
 * Finds the tensors of a task whose remainder is one stream: those that its delta file describes, and merged/'s others.
 *
 * @param metadata - of the delta file
 * @param merged - θ*
 * @param sources - the delta file's stored tensors, and merged/
 * @param at - delta file, task and codec
 * @returns tensors and stream
 * @throws TaskfoldError PACK_INVALID, PACK_VERSION
 */
export function openStream(
  metadata: Readonly<Record<string, string>>,
  merged: Checkpoint,
  sources: TensorSources,
  at: FieldContext & { task: string; codec: StreamCodec },
): OpenedStream {
  const header = parseStreamHeader(metadata, at.file, at.task, at.codec)
  const tensors = new Map<string, PackTensor>()
  for (const [name, description] of header.tensors)
    tensors.set(name, locateTensor(name, description, sources, at))
  addCoded(header, merged, tensors, at)
  const names = [...tensors]
    .filter(([, { kind }]) => kind === 'delta' || kind === 'rows')
    .map(([name]) => name)
  names.sort(compareNames)
  const coded: CodedTensor[] = []
  for (const name of names) {
    const tensor = tensors.get(name)! as PackTensor & { kind: 'delta' | 'rows' }
    if (tensor.deltaElements === 0) continue
    tensor.coded = coded.length
    coded.push(codedTensor(tensor))
  }
  if ((header.coded === null) !== (coded.length === 0)) {
    throw invalid(at, `'coded' must be ${coded.length === 0 ? 'null, because no tensor is' : 'an object'}`)
  }
  if (header.coded === null) return { tensors, stream: null }
  const [codes, tables, directory] = STREAM_ARRAYS.map((array) =>
    storedBytes(header.coded![array], sources, at),
  )
  const { codec, step } = header
  return {
    tensors,
    stream: { codec, step, tensors: coded, codes: codes!, tables: tables!, directory: directory! },
  }
}

/** Every tensor of merged/ that is neither described nor absent. */
function addCoded(
  { tensors: described, absent }: StreamHeader,
  merged: Checkpoint,
  tensors: Map<string, PackTensor>,
  at: FieldContext,
): void {
  const missing = new Set(absent)
  for (const name of absent) {
    if (!merged.tensors.has(name))
      throw invalid(at, `${quoteName(name)} is absent, but merged/ does not have it`)
  }
  for (const [name, info] of merged.tensors) {
    if (missing.has(name) || described.has(name)) continue
    if (!isFloatDtype(info.dtype)) {
      throw invalid(
        { ...at, tensor: name },
        `it is ${info.dtype} in merged/, and no description says what the task has`,
      )
    }
    const { dtype, shape, elements, length } = info
    tensors.set(name, {
      ...{ kind: 'delta', name, dtype, shape: [...shape], stem: '', kept: 0, index: 'u16', elements },
      ...{ byteLength: length, deltaElements: elements, describedIn: at.file },
      ...{ arrays: null, coded: null, stored: null },
    })
  }
}

/** Matrices are [first extent × rest]; what has one row or column is a vector. */
function codedTensor(tensor: PackTensor & { kind: 'delta' | 'rows' }): CodedTensor {
  const { name, dtype, deltaElements } = tensor
  const rows = tensor.kind === 'rows' ? tensor.rows : (tensor.shape[0] ?? 1)
  return { name, dtype, ...matrixShape(rows, deltaElements) }
}

/**
 * How a coded tensor is seen by codecs (docs/FORMAT.md, "Stream codecs"): codes of vectors and matrices alike.
 *
 * @param rows - first extent of what is coded
 * @param elements - of what is coded, above 0
 * @returns rows and columns, a vector as one row
 */
export function matrixShape(rows: number, elements: number): { rows: number; columns: number } {
  const columns = elements / rows
  return rows > 1 && columns > 1 ? { rows, columns } : { rows: 1, columns: elements }
}

function storedBytes(name: string, sources: TensorSources, at: FieldContext): FileRange {
  const stored: TensorInfo | undefined = sources.claim(name)
  if (stored === undefined) throw invalid(at, `${quoteName(name)} is not stored in this file, or used twice`)
  const { file, offset, length, dtype, shape } = stored
  if (
    dtype !== 'U8' ||
    shape.length !== 1 ||
    offset % ARRAY_ALIGNMENT !== 0 ||
    length % ARRAY_ALIGNMENT !== 0
  ) {
    throw invalid(
      at,
      `${quoteName(name)} must be bytes in one row, at and of a multiple of ${ARRAY_ALIGNMENT}`,
    )
  }
  return { file, offset, length }
}
