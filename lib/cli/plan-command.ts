import { Command, Option } from 'commander'
import type { TaskInput } from '../fold/fold-options.js'
import { planSizes } from '../fold/size-plan.js'
import type { SizePlan, SizePlanOptions, SizeRow } from '../fold/size-plan-types.js'
import { alignColumns } from '../report/align-columns.js'
import { formatBytes } from '../report/format-bytes.js'
import type { CliContext } from './cli-context.js'
import type { OutputOptions } from './output.js'
import { parseLambdas, parseNumbers } from './parse-lists.js'
import { parseTask, parseThreads } from './parse-values.js'
import { percent } from './percent.js'

const EXAMPLES = `
Examples:
  $ taskfold plan ./vit-base --task cars=./vit-cars --task pets=./vit-pets
  $ taskfold plan ./llama --task chat=./llama-chat --bits 0.25,0.5,1 --lambda average,0.3 --json

Reads every tensor once and writes nothing. Sizes are of the remainder of one task: heads and other tensors that are kept
whole, headers and files come on top.`

const DTYPES = ['keep', 'f32', 'f16', 'bf16']

interface PlanFlags extends OutputOptions {
  task: TaskInput[]
  bits?: number[]
  lambda?: (number | 'average')[]
  dtype?: SizePlanOptions['dtype']
  rows?: SizePlanOptions['rows']
  perTask?: boolean
  threads?: number
  cacheDir?: string
}

/**
 * The command `taskfold plan`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the program
 */
export function planCommand(context: CliContext): Command {
  return new Command('plan')
    .description('predict size and error of every codec for a family, before folding it')
    .argument('<base>', 'the model that all tasks were fine-tuned from')
    .requiredOption('--task <name=path>', 'a full fine-tune and its name; repeat it for each', parseTask)
    .option('--bits <list>', 'sizes, in bits per merged parameter (default: 0.1,0.25,0.5,1,2)', parseNumbers)
    .option('--lambda <list>', 'scaling coefficients (default: 0,average,0.1,0.3)', parseLambdas)
    .addOption(
      new Option('--dtype <dtype>', "storage dtype; keep: the base's").choices(DTYPES).default('keep'),
    )
    .addOption(new Option('--rows <rule>', 'tables that grew').choices(['whole', 'prefix']).default('whole'))
    .option('--per-task', 'print a table for each task instead of the mean')
    .option('--threads <number>', "threads at most (default: the machine's)", parseThreads)
    .option('--cache-dir <folder>', 'Hugging Face cache to look up org/name in')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')
    .addHelpText('after', EXAMPLES)
    .action((base: string, flags: PlanFlags) =>
      context.run(flags, async (output, signal) => {
        const { task, bits, lambda, perTask, json: _json, quiet: _quiet, ...rest } = flags
        const { onProgress } = output
        const options = { ...rest, base, tasks: task, targetBits: bits, lambdas: lambda, signal, onProgress }
        const plan = await planSizes(options)
        output.result(plan, () => planTables(plan, perTask ?? false))
        return 0
      }),
    )
}

function planTables(plan: SizePlan, perTask: boolean): string {
  const { elements, tensors, modelBytes, tasks, lambdas, rows } = plan
  const head = `${elements} parameters in ${tensors} merged tensors, ${formatBytes(modelBytes)}, ${tasks.length} tasks`
  const tables = lambdas.flatMap(({ name }) => {
    const own = rows.filter((row) => row.lambda === name)
    const groups = perTask
      ? tasks.map((task) => ({
          title: `λ ${name}, task ${task}`,
          rows: own.filter((row) => row.task === task),
        }))
      : [{ title: `λ ${name}, mean of ${tasks.length} tasks`, rows: meanRows(own, tasks.length) }]
    return groups.flatMap((group) => ['', group.title, ...sizeTable(group.rows)])
  })
  return [head, ...tables].join('\n')
}

/** The same place in every task's rows is the same codec and size. */
function meanRows(rows: readonly SizeRow[], tasks: number): SizeRow[] {
  const each = rows.length / tasks
  return rows.slice(0, each).map((row, i) => {
    const same = Array.from({ length: tasks }, (_, t) => rows[t * each + i]!)
    const mean = (value: (row: SizeRow) => number) =>
      same.reduce((sum, other) => sum + value(other), 0) / tasks
    const squares = (value: (row: SizeRow) => number) => Math.sqrt(mean((other) => value(other) ** 2))
    return {
      ...row,
      density: mean((other) => other.density),
      bits: mean((other) => other.bits),
      bytes: mean((other) => other.bytes),
      share: mean((other) => other.share),
      retainedEnergy: mean((other) => other.retainedEnergy),
      relativeError: squares((other) => other.relativeError),
      errorOfTaskVector:
        row.errorOfTaskVector === null ? null : squares((other) => other.errorOfTaskVector ?? 0),
    }
  })
}

function sizeTable(rows: readonly SizeRow[]): string[] {
  const header = ['codec', 'bits', 'bytes', 'of model', 'not zero', 'energy kept', 'error', 'of θt − θ0']
  const body = rows.map((row) => [
    row.codec,
    row.bits.toFixed(3),
    formatBytes(Math.round(row.bytes)),
    percent(row.share),
    percent(row.density),
    percent(row.retainedEnergy),
    row.relativeError.toFixed(3),
    row.errorOfTaskVector === null ? '' : row.errorOfTaskVector.toFixed(3),
  ])
  return alignColumns([header, ...body], [0])
}
