import { InvalidArgumentError } from 'commander'
import { parseNumber } from './parse-values.js'

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
  return text.split(',').map((part) => (part.trim() === 'average' ? 'average' : parseNumber(part.trim())))
}
