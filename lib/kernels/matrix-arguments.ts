import { TaskfoldError } from '../errors/taskfold-error.js'

/**
 * Checks a whole number.
 *
 * @param name - of the argument, for the error
 * @param value - given
 * @param least - smallest allowed
 * @param most - largest allowed
 * @returns value
 * @throws TaskfoldError INVALID_ARGUMENT
 */
export function checkWhole(name: string, value: number, least: number, most: number): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value
  throw new TaskfoldError(
    'INVALID_ARGUMENT',
    `${name} must be a whole number from ${least} to ${most}, got ${String(value)}`,
  )
}
