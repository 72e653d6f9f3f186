import { Command } from 'commander'
import type { LoraExtractOptions } from '../lora/extract-options.js'
import { loraExtract } from '../lora/lora-extract.js'
import { previewLoraExtract } from '../lora/preview-extract.js'
import type { CliContext } from './cli-context.js'
import { addDeviceOptions, addOutputOptions, deviceOptions, dtypeOption } from './common-options.js'
import { extractText, previewText } from './lora-text.js'
import type { OutputOptions } from './output.js'
import { collect, parseCount, parseShare, parseWhole } from './parse-values.js'

const EXAMPLES = `
Examples:
  $ taskfold lora extract ./llama ./llama-chat --rank 32 -o chat-lora
  $ taskfold lora extract org/base org/tuned --energy 0.9 --max-rank 64 -o tuned-lora
  $ taskfold lora extract base.safetensors tuned.safetensors --rank 16 --include 'q_proj$' --include 'v_proj$' -o qv

Each matrix of the fine-tune minus the base is decomposed by a randomized SVD, row block by row block. Embeddings, heads
and convolutions are left out unless asked for; what the base lacks (a new head) is stored whole, as modules_to_save.
The result loads with PEFT: PeftModel.from_pretrained(base, FOLDER).`

type ExtractFlags = OutputOptions &
  Omit<LoraExtractOptions, 'base' | 'finetuned' | 'signal' | 'onProgress' | 'onDevice'> & { dryRun?: boolean }

/**
 * The command `taskfold lora extract`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the group
 */
export function loraExtractCommand(context: CliContext): Command {
  const command = new Command('extract')
    .description('make a PEFT adapter of a full fine-tune')
    .argument('<base>', 'the model that it was fine-tuned from')
    .argument('<finetuned>', 'the fine-tune')
    .requiredOption('-o, --output <folder>', 'where to write the adapter')
    .option('--rank <q>', 'one rank for every layer', parseCount)
    .option(
      '--energy <share>',
      'smallest ranks that keep this share of the squared norm, such as 0.9',
      parseShare,
    )
    .option('--max-rank <q>', 'highest rank that --energy may choose (default: 256)', parseCount)
    .option('--include <regex>', 'only modules with a matching name; may be repeated', collect)
    .option('--exclude <regex>', 'no modules with a matching name; may be repeated', collect)
    .option('--embeddings', 'embedding tables too')
    .option('--heads', 'output heads too (lm_head, classifier, …)')
    .option('--conv', 'convolutions too')
    .option('--save <regex>', 'store matching modules whole; may be repeated', collect)
    .option('--oversample <p>', 'extra columns of the sketch', parseWhole, 8)
    .option('--power-iters <n>', 'power iterations', parseWhole, 2)
    .option('--seed <n>', 'seed of the sketch', parseWhole, 0)
    .addOption(dtypeOption("the fine-tune's"))
    .option('--dry-run', 'only say which modules would be taken and what they would cost')
  return addOutputOptions(addDeviceOptions(command), 'adapter')
    .addHelpText('after', EXAMPLES)
    .action((base: string, finetuned: string, flags: ExtractFlags) =>
      context.run(flags, async (output, signal) => {
        const { json: _json, quiet: _quiet, dryRun, ...rest } = flags
        const { onProgress } = output
        const given = { ...rest, ...deviceOptions(output, rest) }
        const options: LoraExtractOptions = { ...given, base, finetuned, signal, onProgress }
        if (dryRun) {
          const preview = await previewLoraExtract(options)
          output.result(preview, () => previewText(preview))
          return 0
        }
        const result = await loraExtract(options)
        output.result(result, () => extractText(result))
        return 0
      }),
    )
}
