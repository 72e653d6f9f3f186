import { Command, CommanderError } from 'commander'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { packageVersion } from '../fold/package-version.js'
import { CliContext } from './cli-context.js'
import { devicesCommand } from './devices-command.js'
import { foldCommand } from './fold-command.js'
import { inspectCommand } from './inspect-command.js'
import { loraCommand } from './lora-command.js'
import { mergeCommand } from './merge-command.js'
import { type CliStreams, Output } from './output.js'
import { planCommand } from './plan-command.js'
import { watchSignals } from './signals.js'
import { unfoldCommand } from './unfold-command.js'
import { verifyCommand } from './verify-command.js'

const EXAMPLES = `
Examples:
  $ taskfold fold ./vit-base --task cars=./vit-cars --task pets=./vit-pets -o family
  $ taskfold unfold family --task cars -o vit-cars-again
  $ taskfold verify family --against cars=./vit-cars

Exit codes: 0 done, 1 failed, 2 wrong command line, 130 stopped by Ctrl-C.`

const COMMANDS = [
  planCommand,
  foldCommand,
  unfoldCommand,
  inspectCommand,
  verifyCommand,
  mergeCommand,
  loraCommand,
  devicesCommand,
]

/**
 * Runs the command line once.
 *
 * @param args - what follows the program's name
 * @param streams - where to print; those of the process by default
 * @returns the exit code
 */
export async function run(args: readonly string[], streams: CliStreams = process): Promise<number> {
  const watch = watchSignals()
  const context = new CliContext(streams, watch.signal)
  const program = new Command('taskfold')
    .description(
      'fold a family of fine-tuned models into one model plus a small part per task, and get each one back',
    )
    .version(packageVersion())
    .addHelpText('after', EXAMPLES)
    .showSuggestionAfterError()
  for (const make of COMMANDS) {
    program.addCommand(make(context))
  }
  const usage: string[] = []
  for (const command of withSubcommands(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => streams.stdout.write(text),
      writeErr: (text) => usage.push(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
  }
  try {
    await program.parseAsync(args, { from: 'user' })
    return watch.exitCode() !== null && context.exitCode !== 0 ? watch.exitCode()! : context.exitCode
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return 0
    printUsageError(error, usage, args, streams)
    return 2
  } finally {
    watch.close()
  }
}

function withSubcommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withSubcommands)]
}

function printUsageError(
  error: CommanderError,
  lines: string[],
  args: readonly string[],
  streams: CliStreams,
): void {
  // Without a command, commander answers with its help text.
  if (error.code === 'commander.help') {
    streams.stderr.write(lines.join(''))
    return
  }
  const [message = '', ...more] = error.message.replace(/^error: /, '').split('\n')
  const hint = more.join(' ').trim() || 'taskfold --help and taskfold <command> --help show what there is'
  const json = args.includes('--json')
  new Output(streams, { json }).error(new TaskfoldError('INVALID_ARGUMENT', message, { hint }))
}
