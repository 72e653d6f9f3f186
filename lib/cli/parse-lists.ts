import { InvalidArgumentError } from 'commander'
import { parseNumber, parseShare, parseSize } from './parse-values.js'

/**
 * Numbers above 0, divided by commas.
 *
 * @param text - as typed, such as `0.1,0.5`
 * @returns at least one
 * @throws InvalidArgumentError for anything else
 */
export function parseNumbers(text: string): number[] {
  return text.split(',').map((part) => {
    const value = parseNumber(part.trim())
    if (value <= 0) throw new InvalidArgumentError('Each must be a number above 0, such as 0.1,0.5,1.')
    return value
  })
}

/**
 * Scaling coefficients, divided by commas: numbers, or `average` for 1 / number of tasks.
 *
 * @param text - as typed, such as `average,0.3`
 * @returns at least one
 * @throws InvalidArgumentError for anything else
 */
export function parseLambdas(text: string): (number | 'average')[] {
  return text.split(',').map((part) => parseLambda(part.trim()))
}

/**
 * A scaling coefficient.
 *
 * @param text - as typed: a number, or `average`
 * @returns its value
 * @throws InvalidArgumentError for anything else
 */
export function parseLambda(text: string): number | 'average' {
  return text === 'average' ? 'average' : parseNumber(text)
}

/**
 * A size beside a model: a share such as `3%` or 0.03, or bytes such as `12MB`.
 *
 * @param text - as typed
 * @returns up to 1: a share; above: bytes
 * @throws InvalidArgumentError for anything else
 */
export function parseShareOrSize(text: string): number {
  if (/%$/.test(text) || /^0?\.\d+$/.test(text)) return parseShare(text)
  const bytes = parseSize(text)
  if (bytes <= 1) throw new InvalidArgumentError('It must be a share such as 3%, or bytes such as 12MB.')
  return bytes
}
