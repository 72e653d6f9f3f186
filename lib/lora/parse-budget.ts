import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { RankBudget } from './budget-ranks.js'

const FACTORS: Readonly<Record<string, number>> = { '': 1, k: 1e3, m: 1e6, g: 1e9 }
const BINARY: Readonly<Record<string, number>> = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }

/**
 * Reads a budget: `10MB`, `5MiB`, `800kB`, `123456` (bytes); `2Mparams`, `500kp`, `1000000params`. Case does not count;
 * fractions are allowed (`1.5MB`) and what is left of a byte or parameter is dropped.
 *
 * @param text - as given by a user
 * @returns bytes or parameters, a positive integer
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function parseBudget(text: string): { bytes: number } | { parameters: number } {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmg]?)(i?)(b)|([kmg]?)(p|params?|parameters?))?$/i.exec(text.trim())
  if (match) {
    const [, digits, prefix = '', binary, byte, kilo = '', parameters] = match
    const table = binary ? BINARY : FACTORS
    const factor = table[(byte ? prefix : kilo).toLowerCase()]
    const amount = factor === undefined ? Number.NaN : Math.floor(Number(digits) * factor)
    if (Number.isSafeInteger(amount) && amount > 0)
      return (parameters ? { parameters: amount } : { bytes: amount }) satisfies RankBudget
  }
  throw new TaskfoldError('INVALID_ARGUMENT', `${quoteName(text)} is no budget`, {
    hint: 'Write bytes (10MB, 5MiB, 800kB, 123456) or parameters (2Mparams, 500kp).',
  })
}
