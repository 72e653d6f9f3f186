import { Command, Option } from 'commander'
import { describePlan } from '../fold/describe-plan.js'
import { fold } from '../fold/fold.js'
import type { FoldOptions, TaskInput } from '../fold/fold-options.js'
import { planFold } from '../fold/fold-plan.js'
import type { FoldResult } from '../fold/fold-result.js'
import type { PlanNote } from '../fold/plan-types.js'
import { throwProblems } from '../fold/problems.js'
import { alignColumns } from '../report/align-columns.js'
import { formatBytes } from '../report/format-bytes.js'
import type { CliContext } from './cli-context.js'
import { addDeviceOptions, type DeviceFlags, deviceOptions } from './common-options.js'
import type { OutputOptions } from './output.js'
import { parseLambda, parseShareOrSize } from './parse-lists.js'
import { parseNumber, parseShare, parseTask, parseThreads } from './parse-values.js'
import { percent } from './percent.js'
import { noteLines, planText } from './plan-text.js'
import { addRankOptions, type RankFlags } from './rank-flags.js'

const EXAMPLES = `
Examples:
  $ taskfold fold ./vit-base --task cars=./vit-cars --task pets=./vit-pets -o family
  $ taskfold fold org/base --task a=org/tuned@main -o family --density 5% --scope tensor
  $ taskfold fold base.safetensors --task a=a.safetensors -o family --dry-run
  $ taskfold fold ./llama --task style=./style-lora --task chat=./chat-lora --rank 8 -o family

BASE and PATH are a .safetensors file, a folder, or org/name[@revision] in the local Hugging Face cache. A PATH that is
the folder of a PEFT adapter makes a LoRA task: the base stays as it is, and the task is an adapter of a lower rank.
A fold that was killed goes on where it was when the same command is run again.`

/** Notes that still matter when the fold is done; all are in --dry-run and in --json. */
const WARNED: ReadonlySet<PlanNote['kind']> = new Set([
  'dtype',
  'scales',
  'same-path',
  'missing',
  'mismatch',
  'adapter',
])

interface FoldFlags extends OutputOptions, RankFlags, DeviceFlags {
  task: TaskInput[]
  output: string
  lambda?: number | 'average'
  codec?: FoldOptions['codec']
  targetBits?: number
  targetSize?: number
  density?: number
  scope?: FoldOptions['scope']
  dtype?: FoldOptions['dtype']
  rows?: FoldOptions['rows']
  nonFinite?: FoldOptions['nonFinite']
  index?: FoldOptions['index']
  values?: FoldOptions['values']
  copyBase?: boolean
  threads?: number
  cacheDir?: string
  dryRun?: boolean
  force?: boolean
}

/**
 * The command `taskfold fold`.
 *
 * @param context - where it prints and how it is stopped
 * @returns the command, for the program
 */
export function foldCommand(context: CliContext): Command {
  const command = new Command('fold')
    .description('fold a base and its fine-tunes into one family')
    .argument('<base>', 'the model that all tasks were fine-tuned from')
    .requiredOption('--task <name=path>', 'a fine-tune and its name; repeat it for each', parseTask)
    .requiredOption('-o, --output <folder>', 'the family to write')
    .option('--lambda <number>', 'scaling coefficient of the merge, or average (1 / tasks)', parseLambda, 0.3)
    .addOption(
      choice(
        '--codec <codec>',
        "a task's remainder: exact bits at its largest entries, or all of it, lossy, at a size",
        ['exact', 'step', 'sign', 'int4'],
      ),
    )
    .option('--density <share>', 'share of entries each task keeps: 0.1 or 10% (default: 0.1)', parseShare)
    .option('--target-bits <number>', 'codec step: bits per parameter and task (default: 0.5)', parseNumber)
    .option(
      '--target-size <size>',
      'codec step: 3% of the model a task, or bytes such as 12MB',
      parseShareOrSize,
    )
    .addOption(choice('--scope <scope>', 'rank over the whole model or each tensor', ['global', 'tensor']))
    .addOption(choice('--dtype <dtype>', "storage dtype; keep: the base's", ['keep', 'f32', 'f16', 'bf16']))
    .addOption(
      choice('--rows <rule>', 'tables that grew: keep them whole, or fold the common rows', [
        'whole',
        'prefix',
      ]),
    )
    .addOption(
      choice('--non-finite <rule>', 'NaN in an input: stop, or rank it above infinity', ['error', 'keep']),
    )
    .addOption(
      choice('--index <code>', 'how positions are stored; auto: the smallest, u16: the fastest', [
        'auto',
        'u16',
        'bitmap',
        'rice',
      ]),
    )
    .addOption(
      choice('--values <code>', 'how kept values are stored; auto: coded where that saves more than 10 %', [
        'auto',
        'plain',
        'coded',
      ]),
    )
    .option('--threads <number>', "threads at most (default: the machine's)", parseThreads)
  addDeviceOptions(command)
    .option('--cache-dir <folder>', 'Hugging Face cache to look up org/name in')
    .option('--dry-run', 'only say what would be done and what it would cost')
    .option('--force', 'replace an existing family')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')
    .optionsGroup('Options of LoRA tasks (without one, adapters are taken over as they are):')
  return addRankOptions(command)
    .option('--copy-base', 'store the base in the family too; else the family says where it is')
    .addHelpText('after', EXAMPLES)
    .action((base: string, flags: FoldFlags) =>
      context.run(flags, async (output, signal) => {
        const { task, dryRun, json: _json, quiet: _quiet, ...rest } = flags
        const { onProgress } = output
        const given = { ...rest, ...deviceOptions(output, rest) }
        const options: FoldOptions = { ...given, base, tasks: task, signal, onProgress }
        if (dryRun) {
          const plan = await planFold(options)
          const description = describePlan(plan)
          output.result(description, () => planText(description))
          // The plan is printed in either case; as JSON it holds the problems itself.
          if (!flags.json) throwProblems(plan.problems)
          return plan.problems.length > 0 ? 1 : 0
        }
        const result = await fold(options)
        output.result(result, () => resultText(result))
        return 0
      }),
    )
}

function resultText(result: FoldResult): string {
  const { family, tasks, mergedBytes, baseBytes, totals, seconds, resumed } = result
  const header = ['task', 'bytes', 'of original', 'kept']
  const rows = tasks.map((task) => [
    task.name,
    formatBytes(task.bytes),
    percent(task.share),
    task.lora === null
      ? keptText(task)
      : `rank ${task.lora.originalRank} → ${task.lora.rank}, ${percent(task.lora.retainedEnergy)} of the squared norm`,
  ])
  const shared = [
    ...(mergedBytes > 0 ? [`merged ${formatBytes(mergedBytes)}`] : []),
    ...(baseBytes > 0 ? [`base ${formatBytes(baseBytes)}`] : []),
  ].join(', ')
  const again =
    resumed === null ? '' : `, resumed: ${resumed.batchesSkipped} of ${resumed.batchesTotal} steps were done`
  return [
    ...alignColumns([header, ...rows], [3]),
    '',
    `${family}: ${formatBytes(totals.bytes)}${shared === '' ? '' : ` (${shared})`}, ` +
      `${percent(totals.share)} of the originals (${formatBytes(totals.originalBytes)})`,
    `done in ${seconds.toFixed(1)} s${again}`,
    ...noteLines(result.warnings.filter(({ kind }) => WARNED.has(kind))),
  ].join('\n')
}

function keptText({ codec, kept, loss }: FoldResult['tasks'][number]): string {
  if (loss === null) return codec === 'exact' ? `${kept} entries` : `${kept} entries, ${codec}`
  return `${codec}, ${loss.bits.toFixed(3)} bits, error ${loss.relativeError.toFixed(3)} of the remainder`
}

function choice(flags: string, description: string, values: [string, ...string[]]): Option {
  return new Option(flags, description).choices(values).default(values[0])
}
