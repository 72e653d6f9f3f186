import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { Dtype } from './checkpoint-types.js'
import { isDtype } from './dtypes.js'
import { JsonCursor, JsonSyntaxError } from './json-cursor.js'
import { nameProblem } from './names.js'

/** One tensor as its header describes it; nothing is known yet about whether that is true. */
export interface HeaderEntry {
  /** Its name. */
  name: string
  /** Its dtype. */
  dtype: Dtype
  /** Its extents: non-negative, perhaps beyond 2^53. */
  shape: number[]
  /** First byte, counted from the end of the header. */
  begin: number
  /** Byte behind its last one, counted likewise. */
  end: number
}

/** Highest rank accepted. Frameworks stop at 64 (NumPy 2, PyTorch); without a limit one shape could fill the memory. */
const MAX_RANK = 64
/** Fields of an entry that the format does not define are ignored, as its official reader does, but not without end. */
const MAX_UNKNOWN_FIELDS = 16
/** More entries than any writer makes (save_model notes one per tied tensor); without a limit they could fill the memory. */
const MAX_METADATA_ENTRIES = 1_000_000

/**
 * Parses the JSON of a safetensors header.
 *
 * @param bytes - the JSON text
 * @param file - path of the file, for errors
 * @returns `__metadata__` (without prototype) and the tensors, both in file order
 * @throws TaskfoldError HEADER_NOT_JSON, HEADER_INVALID, DUPLICATE_TENSOR, UNKNOWN_DTYPE
 */
export function parseHeaderEntries(
  bytes: Buffer,
  file: string,
): { metadata: Record<string, string>; entries: HeaderEntry[] } {
  try {
    return new HeaderParser(bytes, file).parse()
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    throw new TaskfoldError('HEADER_NOT_JSON', `${file}: the header is not JSON: ${error.message}`, {
      file,
      hint: 'The file is damaged or is no safetensors file: fetch or convert it again.',
    })
  }
}

class HeaderParser {
  readonly #cursor: JsonCursor
  readonly #file: string

  constructor(bytes: Buffer, file: string) {
    this.#cursor = new JsonCursor(bytes)
    this.#file = file
  }

  parse(): { metadata: Record<string, string>; entries: HeaderEntry[] } {
    let metadata: Record<string, string> | undefined
    const entries: HeaderEntry[] = []
    const names = new Set<string>()
    const cursor = this.#cursor
    for (let name = cursor.firstKey(); name !== null; name = cursor.nextKey()) {
      if (name === '__metadata__') {
        if (metadata) throw this.#invalid('__metadata__ appears twice')
        metadata = this.#metadata()
        continue
      }
      const problem = nameProblem(name)
      if (problem !== null) throw this.#invalid(`the tensor name ${quoteName(name)} ${problem}`, name)
      if (names.has(name)) throw this.#duplicate(name)
      names.add(name)
      entries.push(this.#entry(name))
    }
    this.#cursor.end()
    return { metadata: metadata ?? Object.create(null), entries }
  }

  #metadata(): Record<string, string> {
    if (this.#cursor.kind() !== 'object') throw this.#invalid('__metadata__ is not an object')
    // Without a prototype "__proto__" is a key like any other.
    const metadata: Record<string, string> = Object.create(null)
    const cursor = this.#cursor
    let count = 0
    for (let key = cursor.firstKey(); key !== null; key = cursor.nextKey()) {
      if (++count > MAX_METADATA_ENTRIES) {
        throw this.#invalid(`__metadata__ has more than ${MAX_METADATA_ENTRIES} entries`)
      }
      if (key in metadata) throw this.#invalid(`__metadata__ has the key ${quoteName(key)} twice`)
      if (cursor.kind() !== 'string') {
        throw this.#invalid(`the value of ${quoteName(key)} in __metadata__ is not a string`)
      }
      metadata[key] = cursor.string()
    }
    return metadata
  }

  #entry(name: string): HeaderEntry {
    const cursor = this.#cursor
    if (cursor.kind() !== 'object') throw this.#invalid(`tensor ${quoteName(name)} is not an object`, name)
    let dtype: Dtype | undefined
    let shape: number[] | undefined
    let offsets: number[] | undefined
    let unknown: Set<string> | undefined
    for (let field = cursor.firstKey(); field !== null; field = cursor.nextKey()) {
      const again =
        (field === 'dtype' && dtype !== undefined) ||
        (field === 'shape' && shape !== undefined) ||
        (field === 'data_offsets' && offsets !== undefined) ||
        unknown?.has(field)
      if (again)
        throw this.#invalid(`tensor ${quoteName(name)} has the field ${quoteName(field)} twice`, name)
      if (field === 'dtype') dtype = this.#dtype(name)
      else if (field === 'shape') shape = this.#integers(name, field, MAX_RANK)
      else if (field === 'data_offsets') offsets = this.#integers(name, field, 2)
      else {
        unknown ??= new Set()
        unknown.add(field)
        if (unknown.size > MAX_UNKNOWN_FIELDS) {
          throw this.#invalid(
            `tensor ${quoteName(name)} has more than ${MAX_UNKNOWN_FIELDS} unknown fields`,
            name,
          )
        }
        cursor.skip()
      }
    }
    if (dtype === undefined || shape === undefined || offsets === undefined) {
      const field = dtype === undefined ? 'dtype' : shape === undefined ? 'shape' : 'data_offsets'
      throw this.#invalid(`tensor ${quoteName(name)} lacks the field ${field}`, name)
    }
    const [begin, end] = offsets
    if (begin === undefined || end === undefined) {
      throw this.#invalid(`data_offsets of tensor ${quoteName(name)} are not two numbers`, name)
    }
    if (begin > end) {
      throw this.#invalid(`data_offsets [${begin}, ${end}] of tensor ${quoteName(name)} run backwards`, name)
    }
    return { name, dtype, shape, begin, end }
  }

  #dtype(name: string): Dtype {
    if (this.#cursor.kind() !== 'string') {
      throw this.#invalid(`the dtype of tensor ${quoteName(name)} is not a string`, name)
    }
    const dtype = this.#cursor.string()
    if (isDtype(dtype)) return dtype
    throw new TaskfoldError(
      'UNKNOWN_DTYPE',
      `${this.#file}: tensor ${quoteName(name)} has the unknown dtype ${quoteName(dtype)}`,
      { file: this.#file, tensor: name, hint: 'A newer taskfold may know it; otherwise convert the tensor.' },
    )
  }

  #integers(name: string, field: string, most: number): number[] {
    const cursor = this.#cursor
    if (cursor.kind() !== 'array') throw this.#badList(name, field, 'is not a list')
    const values: number[] = []
    for (let more = cursor.firstElement(); more; more = cursor.nextElement()) {
      if (values.length === most) throw this.#badList(name, field, `has more than ${most} numbers`)
      if (cursor.kind() !== 'number') throw this.#badList(name, field, 'holds something that is not a number')
      const value = cursor.unsigned()
      if (Number.isNaN(value)) {
        throw this.#badList(name, field, 'holds a number that is not a non-negative integer')
      }
      values.push(value)
    }
    return values
  }

  #badList(name: string, field: string, reason: string): TaskfoldError {
    return this.#invalid(`${field} of tensor ${quoteName(name)} ${reason}`, name)
  }

  #duplicate(name: string): TaskfoldError {
    return new TaskfoldError('DUPLICATE_TENSOR', `${this.#file}: tensor ${quoteName(name)} appears twice`, {
      file: this.#file,
      tensor: name,
      hint: 'Readers disagree about which one counts: write the file again with unique names.',
    })
  }

  #invalid(reason: string, tensor?: string): TaskfoldError {
    return new TaskfoldError('HEADER_INVALID', `${this.#file}: ${reason}`, {
      file: this.#file,
      tensor,
      hint: 'The header breaks the safetensors format: write or fetch the file again.',
    })
  }
}
