import type { StreamCodec } from '../binding/binding-types.js'
import { compareNames, nameProblem } from '../checkpoint/names.js'
import { shortestF32 } from '../checkpoint/shortest-f32.js'
import { type FieldContext, invalid, JsonFields } from './json-fields.js'
import { DELTA_METADATA_KEY, FORMAT_VERSION, type TaskTensor } from './pack-format.js'
import { headerFields, parseTaskTensor } from './parse-delta-header.js'
import type { StoredEntry } from './render-delta-header.js'
import { stableJson } from './stable-json.js'

/** Stored arrays of a stream, in file order. */
export const STREAM_ARRAYS = ['codes', 'tables', 'directory'] as const

/** Names of a stream's stored arrays. */
export type StreamNames = Record<(typeof STREAM_ARRAYS)[number], string>

/** JSON under the metadata key of a stream codec's delta file (docs/FORMAT.md, "Stream codecs"). */
export interface StreamHeader {
  codec: StreamCodec
  task: string
  /** Δ, an f32 above 0. */
  step: number
  /** null: no tensor has coded elements. */
  coded: StreamNames | null
  /** Tensors of merged/ that the task lacks, in bytewise order. */
  absent: string[]
  /** Tensors that are not coded, and those of which only the first rows are. */
  tensors: Map<string, TaskTensor>
}

/**
 * Reads the header of a stream codec's delta file; nothing in it is trusted.
 *
 * @param metadata - of the delta file
 * @param file - its path, for messages
 * @param task - the task that the manifest says it belongs to
 * @param expected - codec that the manifest says it has
 * @returns the header
 * @throws TaskfoldError PACK_INVALID, PACK_VERSION
 */
export function parseStreamHeader(
  metadata: Readonly<Record<string, string>>,
  file: string,
  task: string,
  expected: StreamCodec,
): StreamHeader {
  const context = { file, task }
  const fields = headerFields(metadata, context)
  if (fields.string('codec') !== expected) throw fields.wrong('codec', `'${expected}', as the manifest says`)
  if (fields.string('task') !== task) throw fields.wrong('task', `'${task}', as its folder says`)
  const tensors = new Map<string, TaskTensor>()
  for (const [name, value] of fields.entries('tensors')) {
    const at = { ...context, tensor: name }
    const problem = nameProblem(name)
    if (problem !== null) throw invalid(at, `its name ${problem}`)
    tensors.set(name, streamTensor(name, new JsonFields(value, '', at), at))
  }
  return {
    codec: expected,
    task,
    step: stepOf(fields),
    coded: fields.value('coded') === null ? null : names(fields.object('coded')),
    absent: absentNames(fields, tensors),
    tensors,
  }
}

/** Rows have no entries of their own to count: their first rows are in the stream. */
function streamTensor(name: string, fields: JsonFields, at: FieldContext): TaskTensor {
  const kind = fields.oneOf('kind', ['rows', 'whole', 'same', 'alias'])
  if (kind !== 'rows') return parseTaskTensor(name, fields, 'exact')
  for (const key of ['kept', 'index', 'values', 'scale']) {
    if (fields.has(key)) throw invalid(at, `${key} is no field of a coded tensor`)
  }
  return parseTaskTensor(name, fields, 'exact', { kept: 0, index: 'u16' })
}

function stepOf(fields: JsonFields): number {
  const step = fields.number('step', 0, Number.MAX_VALUE)
  // Writers give the shortest decimal that rounds to the f32.
  const rounded = Math.fround(step)
  if (!(rounded > 0) || !Number.isFinite(rounded))
    throw fields.wrong('step', 'above 0, within the range of f32')
  return rounded
}

function names(fields: JsonFields): StreamNames {
  const found = STREAM_ARRAYS.map((key) => fields.string(key))
  if (new Set(found).size < found.length)
    throw fields.wrong('codes', 'another name than the other arrays have')
  return { codes: found[0]!, tables: found[1]!, directory: found[2]! }
}

function absentNames(fields: JsonFields, tensors: ReadonlyMap<string, TaskTensor>): string[] {
  const absent = fields.array('absent')
  for (const [i, name] of absent.entries()) {
    const before = absent[i - 1]
    const sorted = typeof name === 'string' && (typeof before !== 'string' || compareNames(before, name) < 0)
    if (!sorted || tensors.has(name as string)) {
      throw fields.wrong('absent', 'names in bytewise order, none of which is described')
    }
  }
  return absent as string[]
}

/**
 * JSON of a stream delta file's header, without length prefix and padding.
 *
 * @param header - what the file holds
 * @param stored - stored tensors, in file order
 * @returns the header's text
 */
export function renderStreamHeader(header: StreamHeader, stored: readonly StoredEntry[]): string {
  const { codec, task, step, coded, absent } = header
  const described = new Map([...header.tensors].map(([name, tensor]) => [name, describe(name, tensor)]))
  const delta = stableJson({
    format: FORMAT_VERSION,
    ...{ codec, task, step: shortestF32(step), coded, absent, tensors: described },
  })
  const entries = new Map<string, unknown>([['__metadata__', new Map([[DELTA_METADATA_KEY, delta]])]])
  for (const { name, dtype, shape, begin, end } of stored) {
    entries.set(name, { dtype, shape, data_offsets: [begin, end] })
  }
  return stableJson(entries)
}

function describe(name: string, tensor: TaskTensor): unknown {
  if (tensor.kind === 'rows') {
    const { kind, dtype, shape, stem, rows } = tensor
    return stem === name ? { kind, dtype, shape, rows } : { kind, dtype, shape, stem, rows }
  }
  if (!('stem' in tensor) || tensor.stem !== name) return tensor
  const { stem: _, ...rest } = tensor
  return rest
}
