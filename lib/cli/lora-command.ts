import { Command } from 'commander'
import type { CliContext } from './cli-context.js'
import { loraExtractCommand } from './lora-extract-command.js'
import { loraResizeCommand } from './lora-resize-command.js'

const EXAMPLES = `
Examples:
  $ taskfold lora resize ./style-lora --rank 8 -o style-r8
  $ taskfold lora extract ./llama ./llama-chat --rank 32 -o chat-lora

taskfold inspect ADAPTER lists an adapter's layers; taskfold fold takes adapters as tasks.`

/**
 * The command group `taskfold lora`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the program
 */
export function loraCommand(context: CliContext): Command {
  const command = new Command('lora')
    .description('make adapters smaller, or make them of full fine-tunes')
    .addHelpText('after', EXAMPLES)
  for (const make of [loraResizeCommand, loraExtractCommand]) command.addCommand(make(context))
  return command
}
