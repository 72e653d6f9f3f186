import { type Command, InvalidArgumentError } from 'commander'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { parseBudget } from '../lora/parse-budget.js'
import type { RankOptions } from '../lora/rank-options.js'
import { parseCount, parseNumber, parseShare } from './parse-values.js'

/** What the options of {@link addRankOptions} give. */
export interface RankFlags extends RankOptions {
  maxRank?: number
}

/**
 * Adds the options that choose ranks.
 *
 * @param command - a command that resizes adapters
 * @returns it
 */
export function addRankOptions(command: Command): Command {
  return command
    .option('--rank <q>', 'one rank for every layer', parseCount)
    .option(
      '--energy <share>',
      'smallest ranks that keep this share of the squared norm, such as 0.9',
      parseShare,
    )
    .option('--sv-ratio <p>', 'keep singular values above the largest ÷ p', parseNumber)
    .option('--sv-fro <share>', 'keep this share of the Frobenius norm', parseShare)
    .option('--sv-cumulative <share>', 'keep this share of the sum of singular values', parseShare)
    .option('--budget <size>', 'bytes or parameters of all layers together: 20MB, 2Mparams', budget)
    .option('--max-rank <q>', 'highest rank of any layer', parseCount)
}

function budget(text: string): RankOptions['budget'] {
  try {
    return parseBudget(text)
  } catch (error) {
    throw error instanceof TaskfoldError ? new InvalidArgumentError(error.hint ?? error.message) : error
  }
}
