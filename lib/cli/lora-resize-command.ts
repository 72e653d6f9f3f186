import { Command } from 'commander'
import { type AdapterDtype, type LoraResizeOptions, loraResize } from '../lora/lora-resize.js'
import type { CliContext } from './cli-context.js'
import {
  addDeviceOptions,
  addOutputOptions,
  type DeviceFlags,
  deviceOptions,
  dtypeOption,
} from './common-options.js'
import { resizeText } from './lora-text.js'
import type { OutputOptions } from './output.js'
import { addRankOptions, type RankFlags } from './rank-flags.js'

const EXAMPLES = `
Examples:
  $ taskfold lora resize ./style-lora --rank 8 -o style-r8
  $ taskfold lora resize org/style-lora --energy 0.9 --max-rank 32 -o style-small
  $ taskfold lora resize style.safetensors --budget 20MB --layers --dry-run -o style-20mb

ADAPTER is a PEFT folder, org/name[@revision] in the local Hugging Face cache, or a kohya / LyCORIS-LoCon .safetensors
file. Every layer gets its best approximation of the new rank; the scale is folded in, so that lora_alpha equals r.
--budget spreads one number of bytes or parameters (20MB, 8MiB, 2Mparams) over all layers by their singular values.`

interface ResizeFlags extends OutputOptions, RankFlags, DeviceFlags {
  output: string
  dtype?: AdapterDtype
  layers?: boolean
  dryRun?: boolean
  threads?: number
  cacheDir?: string
  force?: boolean
}

/**
 * The command `taskfold lora resize`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the group
 */
export function loraResizeCommand(context: CliContext): Command {
  const command = new Command('resize')
    .description("lower an adapter's ranks")
    .argument('<adapter>', 'adapter to resize; it is not changed')
    .requiredOption('-o, --output <folder>', 'where to write the new adapter')
  addRankOptions(command)
    .addOption(dtypeOption('as they were'))
    .option('--layers', 'list every layer')
    .option('--dry-run', 'only say what would be kept and what it would cost')
  return addOutputOptions(addDeviceOptions(command), 'adapter')
    .addHelpText('after', EXAMPLES)
    .action((adapter: string, flags: ResizeFlags) =>
      context.run(flags, async (output, signal) => {
        const { json: _json, quiet: _quiet, layers, ...rest } = flags
        const { onProgress } = output
        const given = { ...rest, ...deviceOptions(output, rest) }
        const options: LoraResizeOptions = { ...given, adapter, signal, onProgress }
        const result = await loraResize(options)
        output.result(result, () => resizeText(result, layers ?? false))
        return 0
      }),
    )
}
