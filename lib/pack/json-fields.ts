import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'

/** What an error about a JSON document says beside the field. */
export interface FieldContext {
  /** Path of the file that holds the document. */
  file: string
  task?: string
  tensor?: string
}

/**
 * One object of an untrusted JSON document: every getter checks presence and type, own properties only.
 * All getters throw TaskfoldError PACK_INVALID that names file, field and value.
 */
export class JsonFields {
  private readonly fields: Record<string, unknown>

  /**
   * @param value - the parsed value, of any type
   * @param where - its place in the document, for messages; '' at the top
   * @param context - file, task and tensor for messages
   * @throws TaskfoldError PACK_INVALID when value is not an object
   */
  constructor(
    value: unknown,
    private readonly where: string,
    private readonly context: FieldContext,
  ) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw invalid(context, `${where || 'the document'} must be an object, not ${describe(value)}`)
    }
    this.fields = value as Record<string, unknown>
  }

  /** True when the field is there, whatever its type. */
  has(key: string): boolean {
    return Object.hasOwn(this.fields, key)
  }

  /** The raw value; undefined when absent. */
  value(key: string): unknown {
    return this.has(key) ? this.fields[key] : undefined
  }

  /** A string. */
  string(key: string): string {
    const value = this.value(key)
    if (typeof value !== 'string') throw this.wrong(key, 'a string')
    return value
  }

  /** A non-negative integer that JavaScript holds exactly. */
  count(key: string): number {
    const value = this.value(key)
    if (!Number.isSafeInteger(value) || (value as number) < 0 || Object.is(value, -0)) {
      throw this.wrong(key, 'an integer from 0 to 2^53 - 1')
    }
    return value as number
  }

  /** A finite number between two bounds. */
  number(key: string, least: number, most: number): number {
    const value = this.value(key)
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      throw this.wrong(key, `a number from ${least} to ${most}`)
    }
    return value
  }

  /** One of a few strings. */
  oneOf<T extends string>(key: string, values: readonly T[]): T {
    const value = this.value(key)
    if (!values.includes(value as T)) throw this.wrong(key, values.map((v) => `'${v}'`).join(' or '))
    return value as T
  }

  /** An array of anything. */
  array(key: string): unknown[] {
    const value = this.value(key)
    if (!Array.isArray(value)) throw this.wrong(key, 'an array')
    // Arrays built in JavaScript can have holes, which map and every would pass over.
    return Array.from(value)
  }

  /** An array of objects. */
  items(key: string): JsonFields[] {
    return this.array(key).map((item, i) => new JsonFields(item, `${this.path(key)}[${i}]`, this.context))
  }

  /** A tensor's shape: non-negative integers whose product JavaScript holds exactly. */
  shape(key: string): number[] {
    const shape = this.array(key)
    let product = 1
    for (const extent of shape) {
      if (!Number.isSafeInteger(extent) || (extent as number) < 0)
        throw this.wrong(key, 'non-negative integers')
      // Zero extents are left out, so that the check does not depend on where they stand.
      if (extent !== 0) product *= extent as number
      if (!Number.isSafeInteger(product)) throw this.wrong(key, 'a shape of less than 2^53 elements')
    }
    return shape as number[]
  }

  /** A nested object. */
  object(key: string): JsonFields {
    return new JsonFields(this.value(key), this.path(key), this.context)
  }

  /** A nested map from names to strings, without a prototype, so that no name of it can be inherited. */
  stringMap(key: string): Record<string, string> {
    const map: Record<string, string> = Object.create(null)
    for (const [name, value] of this.entries(key)) {
      if (typeof value !== 'string') throw this.wrong(key, 'a map of strings')
      map[name] = value
    }
    return map
  }

  /** Names and values of a nested object. */
  entries(key: string): [string, unknown][] {
    const value = this.value(key)
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.wrong(key, 'an object')
    return Object.entries(value)
  }

  /** An error about one field, for checks that the getters do not know. */
  wrong(key: string, expected: string): TaskfoldError {
    const found = this.has(key) ? describe(this.fields[key]) : 'nothing'
    return invalid(this.context, `${this.path(key)} must be ${expected}, not ${found}`)
  }

  private path(key: string): string {
    const name = quoteName(key).slice(1, -1)
    return this.where === '' ? name : `${this.where}.${name}`
  }
}

/**
 * An error about a pack whose parts contradict the format.
 *
 * @param context - file, task and tensor at fault
 * @param problem - what is wrong, without the file
 * @returns PACK_INVALID to throw
 */
export function invalid(context: FieldContext, problem: string): TaskfoldError {
  const tensor = context.tensor === undefined ? '' : ` tensor ${quoteName(context.tensor)}:`
  return new TaskfoldError('PACK_INVALID', `${context.file}:${tensor} ${problem}`, {
    ...context,
    hint: 'fetch or fold the family again: this file contradicts the format (docs/FORMAT.md)',
  })
}

/** A value from a file on one short line; never its full text, which may be huge or deeply nested. */
function describe(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value === 'string') return quoteName(value)
  return String(value)
}
