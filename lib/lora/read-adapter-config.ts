import { JsonCursor, JsonSyntaxError } from '../checkpoint/json-cursor.js'
import { quoteName } from '../errors/quote-name.js'
import { readSmallFile } from '../io/read-small-file.js'
import { adapterInvalid } from './adapter-fault.js'

/** Name of a PEFT adapter's configuration. */
export const CONFIG_FILE = 'adapter_config.json'

/** A pattern for each of 100 000 modules, as mixtures of experts have, is about 10 MB. */
const MAX_CONFIG_BYTES = 32 * 1024 * 1024

/** The fields whose order counts: of two patterns that fit a module, PEFT takes the first. */
const PATTERN_FIELDS = ['rank_pattern', 'alpha_pattern'] as const

/** adapter_config.json as it was read. */
export interface AdapterConfig {
  /** Absolute path of the file. */
  readonly file: string
  /** Its content. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Keys of `rank_pattern` and `alpha_pattern` in file order, which an object does not keep for keys such as "0". */
  readonly patternKeys: Readonly<Record<(typeof PATTERN_FIELDS)[number], readonly string[]>>
}

/**
 * Reads adapter_config.json. What its fields mean is not looked at.
 *
 * @param file - its path
 * @param signal - stops the reading
 * @returns its fields, and the order of the patterns
 * @throws TaskfoldError ADAPTER_INVALID when it is not a JSON object or has a key twice, NOT_FOUND, IO_ERROR, CANCELLED
 */
export async function readAdapterConfig(file: string, signal?: AbortSignal): Promise<AdapterConfig> {
  const bytes = await readSmallFile(file, {
    maxBytes: MAX_CONFIG_BYTES,
    signal,
    tooLarge: (size) =>
      adapterInvalid({ file }, `the file has ${size} bytes, above the limit of ${MAX_CONFIG_BYTES}`),
  })
  try {
    const patternKeys = { rank_pattern: [] as string[], alpha_pattern: [] as string[] }
    const cursor = new JsonCursor(bytes)
    if (cursor.kind() !== 'object') throw adapterInvalid({ file }, 'it is not a JSON object')
    for (const field of eachKey(cursor, file)) {
      const pattern = PATTERN_FIELDS.find((name) => name === field)
      if (pattern === undefined || cursor.kind() !== 'object') {
        cursor.skip()
        continue
      }
      for (const key of eachKey(cursor, file, pattern)) {
        patternKeys[pattern].push(key)
        cursor.skip()
      }
    }
    cursor.end()
    return { file, fields: JSON.parse(bytes.toString('utf8')) as Record<string, unknown>, patternKeys }
  } catch (cause) {
    if (!(cause instanceof JsonSyntaxError || cause instanceof SyntaxError)) throw cause
    throw adapterInvalid({ file, cause }, `it is not JSON: ${cause.message.split('\n')[0]}`)
  }
}

function* eachKey(cursor: JsonCursor, file: string, inside?: string): Generator<string> {
  const seen = new Set<string>()
  for (let key = cursor.firstKey(); key !== null; key = cursor.nextKey()) {
    if (seen.has(key)) {
      const where = inside === undefined ? '' : ` in ${inside}`
      throw adapterInvalid({ file }, `the key ${quoteName(key)} appears twice${where}`)
    }
    seen.add(key)
    yield key
  }
}
