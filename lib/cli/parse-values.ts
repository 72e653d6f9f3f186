import { InvalidArgumentError } from 'commander'
import type { TaskInput } from '../fold/fold-options.js'

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

/**
 * A decimal number.
 *
 * @param text - as typed
 * @returns its value
 * @throws InvalidArgumentError for anything else
 */
export function parseNumber(text: string): number {
  const value = NUMBER.test(text) ? Number(text) : Number.NaN
  if (!Number.isFinite(value)) throw new InvalidArgumentError('It must be a number, such as 0.3.')
  return value
}

/**
 * A share: 0.1 or 10%.
 *
 * @param text - as typed
 * @returns 0 to 1
 * @throws InvalidArgumentError for anything else
 */
export function parseShare(text: string): number {
  const percent = /^(.*?)\s*%$/.exec(text)
  const number = parseNumber(percent?.[1] ?? text)
  // Through the decimal point, so that 2.3% is the same double as 0.023.
  const value = percent === null ? number : Number(`${number}e-2`)
  if (Number.isNaN(value) || value < 0 || value > 1) {
    throw new InvalidArgumentError(
      'It must be a share from 0 to 1, such as 0.1, or from 0% to 100%, such as 10%.',
    )
  }
  return value
}

/**
 * A number of threads.
 *
 * @param text - as typed
 * @returns a whole number of at least 1
 * @throws InvalidArgumentError for anything else
 */
export function parseThreads(text: string): number {
  const value = /^\d{1,4}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > 4096) throw new InvalidArgumentError('It must be a whole number from 1 to 4096.')
  return value
}

/**
 * A whole number.
 *
 * @param text - as typed
 * @returns 0 or more
 * @throws InvalidArgumentError for anything else
 */
export function parseWhole(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number, 0 or more.')
  return value
}

/**
 * A whole number that counts something.
 *
 * @param text - as typed
 * @returns 1 or more
 * @throws InvalidArgumentError for anything else
 */
export function parseCount(text: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : 0
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a whole number from 1 on.')
  return value
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  ...{ k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 },
  ...{ kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 },
  ...{ b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 },
}

/**
 * An amount of memory: `8G`, `512M` (powers of 1024), `8GiB`, `8GB` (powers of 1000) or bytes. Case does not count.
 *
 * @param text - as typed
 * @returns bytes, at least 1
 * @throws InvalidArgumentError for anything else
 */
export function parseSize(text: string): number {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgt]?i?b?)$/i.exec(text) ?? []
  const value = digits === undefined ? 0 : Math.floor(Number(digits) * (UNITS[unit.toLowerCase()] ?? 0))
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('It must be a size, such as 8G, 512M, 8GiB or 8GB.')
  return value
}

/**
 * Adds one NAME=PATH to those before it. The path may hold '=' itself.
 *
 * @param text - as typed
 * @param before - earlier ones
 * @returns all of them
 * @throws InvalidArgumentError when there is no name or no path
 */
export function parseTask(text: string, before: TaskInput[] = []): TaskInput[] {
  const at = text.indexOf('=')
  if (at < 1 || at === text.length - 1)
    throw new InvalidArgumentError('It must be NAME=PATH, such as cars=./vit-cars.')
  return [...before, { name: text.slice(0, at), path: text.slice(at + 1) }]
}

/**
 * Adds one value to those before it.
 *
 * @param text - as typed
 * @param before - earlier ones
 * @returns all of them
 */
export function collect(text: string, before: string[] = []): string[] {
  return [...before, text]
}
