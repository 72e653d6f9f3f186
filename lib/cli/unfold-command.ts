import { join } from 'node:path'
import { Command } from 'commander'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { resolveOutputTarget, targetState } from '../io/output-target.js'
import type { MaterializeResult } from '../materialize/materialize.js'
import { openFamily } from '../materialize/open-family.js'
import { alignColumns } from '../report/align-columns.js'
import { formatBytes } from '../report/format-bytes.js'
import type { CliContext } from './cli-context.js'
import { addDeviceOptions, type DeviceFlags, deviceOptions } from './common-options.js'
import type { OutputOptions } from './output.js'
import { collect, parseThreads } from './parse-values.js'

const EXAMPLES = `
Examples:
  $ taskfold unfold family --task cars -o vit-cars
  $ taskfold unfold family --all -o models        # models/cars, models/pets, …
  $ taskfold unfold family --task style -o style --merged --base ./llama

One --task is written to DIR itself; several, or --all, to one folder a task below it. A LoRA task is written as its PEFT
adapter, or with --merged as a whole model: the base, which is checked, with the adapter added.`

interface UnfoldFlags extends OutputOptions, DeviceFlags {
  task?: string[]
  all?: boolean
  output: string
  merged?: boolean
  base?: string
  cacheDir?: string
  threads?: number
  force?: boolean
}

/**
 * The command `taskfold unfold`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the program
 */
export function unfoldCommand(context: CliContext): Command {
  const command = new Command('unfold')
    .description("write tasks' models of a family as ordinary checkpoints")
    .argument('<family>', 'folder that taskfold fold wrote')
    .option('--task <name>', 'a task to unfold; may be repeated', collect)
    .option('--all', 'unfold every task')
    .requiredOption('-o, --output <folder>', 'where to write')
    .option('--merged', 'write LoRA tasks as whole models')
    .option(
      '--base <path>',
      'where the base of LoRA tasks is now (default: where it was when they were folded)',
    )
    .option('--cache-dir <folder>', 'Hugging Face cache to look up org/name in')
    .option('--threads <number>', "threads at most (default: the machine's)", parseThreads)
  return addDeviceOptions(command)
    .option('--force', 'replace existing checkpoints')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')
    .addHelpText('after', EXAMPLES)
    .action((path: string, flags: UnfoldFlags) =>
      context.run(flags, async (output, signal) => {
        const wanted = [...new Set(flags.task)]
        if (wanted.length > 0 === (flags.all === true)) {
          throw new TaskfoldError('INVALID_ARGUMENT', 'give either --task NAME or --all', {
            hint: 'taskfold inspect FAMILY lists the tasks',
          })
        }
        const family = await openFamily(path, { signal })
        const names = flags.all ? family.tasks : wanted
        const single = !flags.all && names.length === 1
        const folders = names.map((name) => ({
          name,
          folder: single ? flags.output : join(flags.output, name),
        }))
        for (const { name } of folders) assertTask(name, family.tasks, path)
        if (!flags.force) for (const { folder } of folders) await assertFree(folder)
        const written: MaterializeResult[] = []
        for (const { name, folder } of folders) {
          const { threads, force, merged, base, cacheDir } = flags
          const { onProgress } = output
          const given = { signal, onProgress, threads, force, merged, base, cacheDir }
          const options = { ...given, ...deviceOptions(output, flags) }
          written.push(await family.materialize(name, folder, options))
        }
        output.result({ tasks: written }, () =>
          alignColumns(
            written.map(({ task, tensors, bytes, folder }) => [
              task,
              `${tensors} tensors`,
              formatBytes(bytes),
              folder,
            ]),
            [3],
          ).join('\n'),
        )
        return 0
      }),
    )
}

function assertTask(name: string, tasks: readonly string[], family: string): void {
  if (tasks.includes(name)) return
  throw new TaskfoldError('NOT_FOUND', `${family} has no task ${JSON.stringify(name)}`, {
    file: family,
    task: name,
    hint: `its tasks are: ${tasks.join(', ')}`,
  })
}

/** Before the first task is written, so that a refusal leaves no other half of the tasks behind. */
async function assertFree(folder: string): Promise<void> {
  const target = await resolveOutputTarget(folder)
  const state = await targetState(target)
  if (state === 'absent' || state === 'empty') return
  throw new TaskfoldError('OUTPUT_EXISTS', `${target} already exists`, {
    file: target,
    hint: 'choose another output folder, or replace it with --force',
  })
}
