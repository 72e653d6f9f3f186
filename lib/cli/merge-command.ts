import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Command, Option } from 'commander'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { AdapterDtype } from '../lora/lora-resize.js'
import { loraMerge } from '../materialize/lora-merge.js'
import { MANIFEST_FILE } from '../pack/pack-format.js'
import { formatBytes } from '../report/format-bytes.js'
import type { CliContext } from './cli-context.js'
import { addOutputOptions, dtypeOption } from './common-options.js'
import { count } from './count.js'
import { resizeText, warningLines } from './lora-text.js'
import type { OutputOptions } from './output.js'
import { parseNumber, parseTask } from './parse-values.js'
import { addRankOptions, type RankFlags } from './rank-flags.js'

const EXAMPLES = `
Examples:
  $ taskfold merge ./llama --task style=./style-lora --task chat=./chat-lora --lambda 0.5 -o merged
  $ taskfold merge lora-family --lambda 0.5 -o merged      # all its LoRA tasks
  $ taskfold merge ./llama --task a=./a --task b=./b --as adapter --rank 16 -o sum-r16

Adds λ times every adapter to the base (LoRA task arithmetic). An adapter has the sum of all ranks and is exact, unless
a lower rank is asked for. The merge of full fine-tunes is the merged/ folder that taskfold fold writes.`

interface MergeFlags extends OutputOptions, RankFlags {
  task?: { name: string; path: string }[]
  base?: string
  output: string
  lambda?: number
  as?: 'checkpoint' | 'adapter'
  dtype?: AdapterDtype
  threads?: number
  cacheDir?: string
  force?: boolean
}

/**
 * The command `taskfold merge`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the program
 */
export function mergeCommand(context: CliContext): Command {
  const command = new Command('merge')
    .description('merge LoRA adapters into one model, or into one adapter')
    .argument('<base or family>', 'the model that all adapters were trained on, or a family of LoRA tasks')
    .option('--task <name=path>', 'an adapter and its name; repeat it for each', parseTask)
    .option('--base <path>', 'where the base of a family is now (default: where it was)')
    .requiredOption('-o, --output <folder>', 'where to write')
    .option('--lambda <number>', 'scaling coefficient of the merge', parseNumber, 0.3)
    .addOption(
      new Option('--as <what>', 'write the whole model, or one adapter')
        .choices(['checkpoint', 'adapter'])
        .default('checkpoint'),
    )
  addRankOptions(command).addOption(dtypeOption('that of the factors'))
  return addOutputOptions(command, 'output')
    .addHelpText('after', EXAMPLES)
    .action((model: string, flags: MergeFlags) =>
      context.run(flags, async (output, signal) => {
        const { task: tasks, json: _json, quiet: _quiet, ...rest } = flags
        const { onProgress } = output
        // Without tasks it must be a family; what is wrong with anything else is that it has none.
        if (tasks === undefined && !existsSync(join(model, MANIFEST_FILE))) {
          throw new TaskfoldError('INVALID_ARGUMENT', `${model} is no family, and no --task is given`, {
            hint: 'give --task NAME=ADAPTER for each adapter, or the folder of a family',
          })
        }
        const inputs = tasks === undefined ? { family: model } : { base: model, tasks }
        const result = await loraMerge({ ...rest, ...inputs, signal, onProgress })
        output.result(result, () => {
          const { adapter, seconds, modules, bytes } = result
          if (adapter !== null) return resizeText({ ...adapter, output: result.output, seconds }, false)
          return [
            `${result.output}: ${formatBytes(bytes)}, λ ${result.lambda} × ${result.tasks.join(' + ')} added to ${count(modules, 'weight')}`,
            `done in ${seconds.toFixed(2)} s`,
            ...warningLines(result.warnings),
          ].join('\n')
        })
        return 0
      }),
    )
}
