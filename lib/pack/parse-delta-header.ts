import type { IndexCode, SparseCodec, ValueCode } from '../binding/binding-types.js'
import type { Dtype } from '../checkpoint/checkpoint-types.js'
import { nameProblem } from '../checkpoint/names.js'
import { type FieldContext, invalid, JsonFields } from './json-fields.js'
import { newerVersion } from './newer-version.js'
import { DELTA_METADATA_KEY, FORMAT_VERSION, type TaskTensor } from './pack-format.js'
import { FLOAT_DTYPES } from './stored-arrays.js'
import { parseStrictJson } from './strict-json.js'

const KINDS = ['delta', 'rows', 'whole', 'same', 'alias'] as const
const INDEX_CODES: readonly IndexCode[] = ['u16', 'bitmap', 'rice', 'all']
const VALUE_CODES: Readonly<Record<SparseCodec, readonly ValueCode[]>> = {
  exact: ['plain', 'coded'],
  sign: ['sign'],
  int4: ['int4'],
}

/**
 * Reads the description of a task's tensors from a delta file's `__metadata__`; nothing in it is trusted.
 *
 * @param metadata - of the delta file
 * @param file - its path, for messages
 * @param task - the task that the manifest says it belongs to
 * @param expected - codec that the manifest says it has
 * @returns the tensors that this file describes, by name
 * @throws TaskfoldError PACK_INVALID, or PACK_VERSION for a format or codec of a newer release
 */
export function parseDeltaHeader(
  metadata: Readonly<Record<string, string>>,
  file: string,
  task: string,
  expected: SparseCodec = 'exact',
): Map<string, TaskTensor> {
  const context = { file, task }
  const fields = headerFields(metadata, context)
  const codec = fields.string('codec')
  if (!Object.hasOwn(VALUE_CODES, codec)) throw newerVersion(file, `codec '${codec.slice(0, 40)}'`)
  if (codec !== expected) throw fields.wrong('codec', `'${expected}', as the manifest says`)
  if (fields.string('task') !== task) throw fields.wrong('task', `'${task}', as its folder says`)
  const tensors = new Map<string, TaskTensor>()
  for (const [name, value] of fields.entries('tensors')) {
    const problem = nameProblem(name)
    if (problem !== null) throw invalid({ ...context, tensor: name }, `its name ${problem}`)
    tensors.set(
      name,
      parseTaskTensor(name, new JsonFields(value, '', { ...context, tensor: name }), expected),
    )
  }
  return tensors
}

/** What a description says of the kept entries. */
type Entries = Pick<TaskTensor & { kind: 'rows' }, 'kept' | 'index' | 'values' | 'scale'>

/**
 * Reads one tensor's description; nothing in it is trusted.
 *
 * @param name - of the tensor
 * @param fields - the description
 * @param codec - which codes of values there may be
 * @param given - what would be said of kept entries, of a codec that does not say it
 * @returns the description, rebuilt from checked values
 * @throws TaskfoldError PACK_INVALID
 */
export function parseTaskTensor(
  name: string,
  fields: JsonFields,
  codec: SparseCodec,
  given?: Entries,
): TaskTensor {
  const kind = fields.oneOf('kind', KINDS)
  const shape = fields.shape('shape')
  // Only the common case is left out of the file: most stems equal the name.
  const stem = fields.has('stem') ? fields.string('stem') : name
  switch (kind) {
    case 'delta':
      return {
        kind,
        dtype: fields.oneOf('dtype', FLOAT_DTYPES),
        shape,
        stem,
        ...(given ?? entries(fields, codec)),
      }
    case 'rows':
      return {
        kind,
        dtype: fields.oneOf('dtype', FLOAT_DTYPES),
        shape,
        stem,
        rows: fields.count('rows'),
        ...(given ?? entries(fields, codec)),
      }
    case 'whole':
      return { kind, dtype: dtype(fields), shape, stem }
    case 'same':
      return { kind, dtype: dtype(fields), shape }
    case 'alias':
      return { kind, dtype: dtype(fields), shape, of: fields.string('of') }
  }
}

function entries(fields: JsonFields, codec: SparseCodec) {
  const kept = fields.count('kept')
  const index = fields.oneOf('index', INDEX_CODES)
  // Without entries there is nothing to say of values.
  if (kept === 0) return { kept, index }
  const allowed = VALUE_CODES[codec]
  const values = fields.has('values') ? fields.oneOf('values', allowed) : 'plain'
  if (!allowed.includes(values)) throw fields.wrong('values', `one of ${allowed.join(', ')}`)
  if (values !== 'sign') return { kept, index, values }
  const scale = fields.number('scale', 0, Number.MAX_VALUE)
  if (Math.fround(scale) !== scale) throw fields.wrong('scale', 'an f32')
  return { kept, index, values, scale }
}

/** Any string: the stored, merged or tied tensor that it is compared with later has a checked dtype. */
function dtype(fields: JsonFields): Dtype {
  return fields.string('dtype') as Dtype
}

/**
 * The document that a delta file describes itself with, of any codec, in a format that this release reads.
 *
 * @param metadata - of the delta file
 * @param context - its path and task, for messages
 * @returns its fields
 * @throws TaskfoldError PACK_INVALID, PACK_VERSION
 */
export function headerFields(metadata: Readonly<Record<string, string>>, context: FieldContext): JsonFields {
  const text = Object.hasOwn(metadata, DELTA_METADATA_KEY) ? metadata[DELTA_METADATA_KEY] : undefined
  if (text === undefined) throw invalid(context, `its __metadata__ has no '${DELTA_METADATA_KEY}'`)
  const where = `'${DELTA_METADATA_KEY}' of its __metadata__`
  const json = parseStrictJson(Buffer.from(text), (problem) => invalid(context, `${where}: ${problem}`))
  const fields = new JsonFields(json, '', context)
  const format = fields.count('format')
  if (format > FORMAT_VERSION) throw newerVersion(context.file, `format ${format}`)
  if (format < 1) throw fields.wrong('format', `from 1 to ${FORMAT_VERSION}`)
  return fields
}
