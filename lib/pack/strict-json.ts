import { JsonCursor, JsonSyntaxError } from '../checkpoint/json-cursor.js'
import { quoteName } from '../errors/quote-name.js'

/**
 * Parses JSON that no two readers can understand differently: UTF-8, and no object with the same key twice, of which
 * JSON.parse would silently keep the last.
 *
 * @param bytes - the document
 * @param fault - makes the error to throw from what is wrong
 * @returns the parsed value
 * @throws what `fault` makes
 */
export function parseStrictJson(bytes: Buffer, fault: (problem: string) => Error): unknown {
  try {
    const cursor = new JsonCursor(bytes)
    checkUniqueKeys(cursor)
    cursor.end()
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    if (error instanceof RepeatedKey) throw fault(`the key ${error.message} appears twice in one object`)
    if (error instanceof JsonSyntaxError || error instanceof SyntaxError) {
      throw fault(`it is not JSON: ${error.message.split('\n')[0]}`)
    }
    throw error
  }
}

class RepeatedKey extends Error {}

/** Deeper than any document of the format; keeps a hostile one from exhausting the stack. */
const MAX_DEPTH = 64

function checkUniqueKeys(cursor: JsonCursor, depth = 0): void {
  if (depth > MAX_DEPTH) throw new JsonSyntaxError(`values are nested deeper than ${MAX_DEPTH} levels`)
  const kind = cursor.kind()
  if (kind === 'array') {
    for (let more = cursor.firstElement(); more; more = cursor.nextElement())
      checkUniqueKeys(cursor, depth + 1)
  } else if (kind === 'object') {
    const keys = new Set<string>()
    for (let key = cursor.firstKey(); key !== null; key = cursor.nextKey()) {
      if (keys.has(key)) throw new RepeatedKey(quoteName(key))
      keys.add(key)
      checkUniqueKeys(cursor, depth + 1)
    }
  } else {
    cursor.skip()
  }
}
