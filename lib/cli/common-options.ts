import { type Command, Option } from 'commander'
import { parseThreads } from './parse-values.js'

/**
 * Adds the options of commands that write an adapter or a merged model.
 *
 * @param command - the command
 * @param what - what is written, for the help text
 * @returns it
 */
export function addOutputOptions(command: Command, what: string): Command {
  return command
    .option('--threads <number>', "threads at most (default: the machine's)", parseThreads)
    .option('--cache-dir <folder>', 'Hugging Face cache to look up org/name in')
    .option('--force', `replace an existing ${what}`)
    .option('--json', 'print one JSON document, singular values included')
    .option('--quiet', 'print nothing but errors')
}

/**
 * The option that chooses the dtype of an adapter's factors.
 *
 * @param keep - what `keep` means
 * @returns the option
 */
export function dtypeOption(keep: string): Option {
  return new Option('--dtype <dtype>', `dtype of the factors; keep: ${keep}`)
    .choices(['keep', 'f32', 'f16', 'bf16'])
    .default('keep')
}
