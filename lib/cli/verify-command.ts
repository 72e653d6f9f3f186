import { Command } from 'commander'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { TaskInput } from '../fold/fold-options.js'
import { alignColumns } from '../report/align-columns.js'
import { formatBytes } from '../report/format-bytes.js'
import { verify } from '../report/verify.js'
import type { TaskComparison, VerifiedTask, VerifyResult } from '../report/verify-types.js'
import type { CliContext } from './cli-context.js'
import type { OutputOptions } from './output.js'
import { parseTask, parseThreads } from './parse-values.js'
import { percent } from './percent.js'

const EXAMPLES = `
Examples:
  $ taskfold verify family
  $ taskfold verify family --against cars=./vit-cars --against pets=./vit-pets

Exits with 1 when anything in the family differs from what it promises.`

interface VerifyFlags extends OutputOptions {
  against?: TaskInput[]
  threads?: number
  cacheDir?: string
}

/**
 * The command `taskfold verify`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the program
 */
export function verifyCommand(context: CliContext): Command {
  return new Command('verify')
    .description('read a whole family again and compare it with its fingerprints')
    .argument('<family>', 'folder that taskfold fold wrote')
    .option('--against <name=path>', "a task's original to compare with; may be repeated", parseTask)
    .option('--threads <number>', "threads at most (default: the machine's)", parseThreads)
    .option('--cache-dir <folder>', 'Hugging Face cache to look up org/name in')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')
    .addHelpText('after', EXAMPLES)
    .action((path: string, flags: VerifyFlags) =>
      context.run(flags, async (output, signal) => {
        const { threads, cacheDir } = flags
        const against = originals(flags.against ?? [])
        const { onProgress } = output
        const result = await verify(path, { against, threads, cacheDir, signal, onProgress })
        output.result(result, () => verifyText(result))
        return 0
      }),
    )
}

function originals(given: readonly TaskInput[]): Record<string, string> {
  const against: Record<string, string> = Object.create(null)
  for (const { name, path } of given) {
    if (against[name] !== undefined)
      throw new TaskfoldError('INVALID_ARGUMENT', `--against ${name} is given twice`)
    against[name] = path
  }
  return against
}

function verifyText({ path, files, bytes, mergedTensors, tasks }: VerifyResult): string {
  const merged = mergedTensors === 0 ? '' : ` and ${mergedTensors} merged tensors`
  return [
    `${path}: ${files} files (${formatBytes(bytes)})${merged} are as recorded`,
    ...table(tasks, false, 'kept', ({ kept }) => kept),
    ...table(tasks, true, 'layers', ({ layers }) => layers),
  ].join('\n')
}

/** Full fine-tunes and LoRA tasks have tables of their own: other things are counted. */
function table(
  all: readonly VerifiedTask[],
  lora: boolean,
  what: string,
  count: (task: VerifiedTask) => number | null,
): string[] {
  const tasks = all.filter((task) => (task.codec === 'lora') === lora)
  if (tasks.length === 0) return []
  const compared = tasks.some(({ against }) => against !== null)
  const exact = lora ? [] : ['differing', 'max error']
  const header = [
    lora ? 'LoRA task' : 'task',
    'tensors',
    what,
    ...(compared ? ['against original', ...exact, 'relative', 'energy kept'] : []),
  ]
  const rows = tasks.map((task) => [
    task.name,
    String(task.tensors),
    String(count(task)),
    ...comparisonCells(task.against, lora),
  ])
  return alignColumns([header, ...rows])
}

function comparisonCells(against: TaskComparison | null, lora: boolean): string[] {
  if (against === null) return []
  const { exact, differing, elements, maxError, relativeError, retainedEnergy } = against
  const cells = [percent(relativeError), percent(retainedEnergy)]
  if (lora) return [exact ? 'equal' : 'differs', ...cells]
  return [
    exact ? 'bit for bit' : 'differs',
    percent(elements === 0 ? 0 : differing / elements),
    maxError === null ? '–' : maxError.toPrecision(3),
    ...cells,
  ]
}
