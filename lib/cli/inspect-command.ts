import { Command } from 'commander'
import { formatInspection } from '../report/format-inspection.js'
import { inspect } from '../report/inspect.js'
import type { CliContext } from './cli-context.js'
import type { OutputOptions } from './output.js'

const EXAMPLES = `
Examples:
  $ taskfold inspect family
  $ taskfold inspect org/name --tensors
  $ taskfold inspect ./style-lora --spectra
  $ taskfold inspect family --json | jq '.tasks[].bytes'`

/**
 * The command `taskfold inspect`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the program
 */
export function inspectCommand(context: CliContext): Command {
  return new Command('inspect')
    .description('describe a family, a checkpoint or an adapter from its headers')
    .argument(
      '<path>',
      'a family, an adapter, a .safetensors file, a folder, or org/name[@revision] in the local cache',
    )
    .option('--tensors', 'list every tensor')
    .option('--spectra', "compute the singular values of adapters' layers")
    .option('--cache-dir <folder>', 'Hugging Face cache to look up org/name in')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')
    .addHelpText('after', EXAMPLES)
    .action(
      (path: string, flags: OutputOptions & { tensors?: boolean; spectra?: boolean; cacheDir?: string }) =>
        context.run(flags, async (output, signal) => {
          const { tensors, spectra, cacheDir } = flags
          const found = await inspect(path, { tensors, spectra, cacheDir, signal })
          output.result(found, () => formatInspection(found))
          return 0
        }),
    )
}
