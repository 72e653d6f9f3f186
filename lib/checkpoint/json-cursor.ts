import { isUtf8 } from 'node:buffer'

/** Deepest nesting inside values that are skipped: real files have two or three levels. */
const MAX_DEPTH = 64

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/** What the next value is. */
export type JsonKind = 'object' | 'array' | 'string' | 'number' | 'true' | 'false' | 'null'

/** Says that bytes are not JSON; the caller gives it the code that fits its file. */
export class JsonSyntaxError extends Error {}

/**
 * Reads JSON value by value from bytes. JSON.parse would silently keep the last of two equal keys, would build the
 * whole tree of a hostile file before anything could be checked, and needs the text as one string.
 */
export class JsonCursor {
  readonly #bytes: Buffer
  #at = 0

  /**
   * @param bytes - the text
   * @throws JsonSyntaxError when they are not UTF-8
   */
  constructor(bytes: Buffer) {
    if (!isUtf8(bytes)) throw new JsonSyntaxError('it is not valid UTF-8')
    this.#bytes = bytes
  }

  /** Kind of the next value; nothing is consumed. */
  kind(): JsonKind {
    switch (this.#peek()) {
      case OPEN_BRACE:
        return 'object'
      case OPEN_BRACKET:
        return 'array'
      case QUOTE:
        return 'string'
      case 0x74:
        return 'true'
      case 0x66:
        return 'false'
      case 0x6e:
        return 'null'
      default: {
        const byte = this.#peek()
        if (byte === 0x2d || isDigit(byte)) return 'number'
        throw this.#error('a value is expected')
      }
    }
  }

  /** Enters an object: its first key, to be followed by reading the value, or null when it is empty. */
  firstKey(): string | null {
    this.#take(OPEN_BRACE, '{')
    return this.#accept(CLOSE_BRACE) ? null : this.#key()
  }

  /** The next key of the object whose last value was just read, or null when the object has ended. */
  nextKey(): string | null {
    if (this.#accept(COMMA)) return this.#key()
    this.#take(CLOSE_BRACE, '} or ,')
    return null
  }

  /** Enters an array; true when it has an element, which is to be read next. */
  firstElement(): boolean {
    this.#take(OPEN_BRACKET, '[')
    return !this.#accept(CLOSE_BRACKET)
  }

  /** True when the array whose last element was just read has another one. */
  nextElement(): boolean {
    if (this.#accept(COMMA)) return true
    this.#take(CLOSE_BRACKET, '] or ,')
    return false
  }

  /** Reads a string. */
  string(): string {
    this.#take(QUOTE, '"')
    const bytes = this.#bytes
    const start = this.#at
    let escaped = false
    let seen = 0
    for (let at = start; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (byte === QUOTE) {
        this.#at = at + 1
        if (escaped) return this.#unescape(start, at)
        return bytes.toString(seen < 0x80 ? 'latin1' : 'utf8', start, at)
      }
      if (byte === BACKSLASH) {
        escaped = true
        at++
      } else if (byte < 0x20) {
        this.#at = at
        throw this.#error('a control character stands inside a string')
      }
      seen |= byte
    }
    this.#at = bytes.length
    throw this.#error('the text ends inside a string')
  }

  /**
   * Reads a number that should be a non-negative integer.
   *
   * @returns its value, imprecise above 2^53; NaN when it is negative or has a fraction or an exponent
   */
  unsigned(): number {
    if (this.kind() !== 'number') throw this.#error('a number is expected')
    const bytes = this.#bytes
    const start = this.#at
    let value = 0
    let at = start
    while (at < bytes.length && isDigit(bytes[at]!)) value = value * 10 + (bytes[at++]! - 0x30)
    const plain = at > start && (bytes[start] !== 0x30 || at === start + 1)
    const next = bytes[at]
    if (plain && next !== 0x2e && next !== 0x65 && next !== 0x45) {
      this.#at = at
      return value
    }
    this.#number()
    return Number.NaN
  }

  /** Consumes a value of any kind without keeping it. */
  skip(depth = 0): void {
    if (depth > MAX_DEPTH) throw this.#error(`values are nested deeper than ${MAX_DEPTH} levels`)
    const kind = this.kind()
    if (kind === 'object') {
      for (let key = this.firstKey(); key !== null; key = this.nextKey()) this.skip(depth + 1)
    } else if (kind === 'array') {
      for (let more = this.firstElement(); more; more = this.nextElement()) this.skip(depth + 1)
    } else if (kind === 'string') this.string()
    else if (kind === 'number') this.#number()
    else this.#word(kind)
  }

  /** Checks that only white space is left. */
  end(): void {
    if (this.#peek() !== -1) throw this.#error('there is text behind the closing brace')
  }

  #key(): string {
    const key = this.string()
    this.#take(COLON, ':')
    return key
  }

  #number(): void {
    // JSON's grammar: no leading zeros, no plus sign, digits on both sides of the point.
    const text = this.#bytes.toString('latin1', this.#at, Math.min(this.#at + 400, this.#bytes.length))
    const match = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9.eE+-])/.exec(text)
    if (!match) throw this.#error('a number is malformed')
    this.#at += match[0].length
  }

  #word(word: string): void {
    if (this.#bytes.toString('latin1', this.#at, this.#at + word.length) !== word) {
      throw this.#error(`${word} is misspelled`)
    }
    this.#at += word.length
  }

  #unescape(start: number, end: number): string {
    let text: string
    try {
      text = JSON.parse(this.#bytes.toString('utf8', start - 1, end + 1)) as string
    } catch {
      this.#at = start
      throw this.#error('an escape or a control character in a string is malformed')
    }
    if (/\p{Surrogate}/u.test(text)) {
      this.#at = start
      throw this.#error('a string has half of a surrogate pair')
    }
    return text
  }

  #peek(): number {
    const bytes = this.#bytes
    let at = this.#at
    for (; at < bytes.length; at++) {
      const byte = bytes[at]!
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    }
    this.#at = at
    return at < bytes.length ? bytes[at]! : -1
  }

  #accept(byte: number): boolean {
    if (this.#peek() !== byte) return false
    this.#at++
    return true
  }

  #take(byte: number, name: string): void {
    if (!this.#accept(byte)) throw this.#error(`${name} is expected`)
  }

  #error(reason: string): JsonSyntaxError {
    const where = this.#at < this.#bytes.length ? `at byte ${this.#at}` : 'at its end'
    return new JsonSyntaxError(`${reason} ${where}`)
  }
}

const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39
