import { escapeControls } from '../errors/quote-name.js'
import type { PlanDescription } from '../fold/describe-plan.js'
import type { PlanNote } from '../fold/plan-types.js'
import { rankRuleText } from '../lora/rank-rule-text.js'
import { alignColumns } from '../report/align-columns.js'
import { formatBytes } from '../report/format-bytes.js'
import { percent } from './percent.js'

/** Notes of one kind that a person reads; the rest is counted. `--json` lists all. */
const SHOWN_NOTES = 12

/**
 * A plan as text for a terminal.
 *
 * @param plan - what describePlan gave
 * @returns lines, joined, without a trailing newline
 */
export function planText(plan: PlanDescription): string {
  const { totals } = plan
  const facts = [
    ['base', baseText(plan)],
    ...methodRows(plan),
    ['disk', `${formatBytes(totals.bytes)} at most${free(totals.freeBytes)}`],
    ['memory', `${formatBytes(totals.memoryBytes)} at most`],
  ]
  return [
    `plan for ${plan.output}`,
    ...alignColumns(facts, [1]),
    ...taskRows(plan),
    ...adapterRows(plan),
    ...noteLines(plan.notes),
  ]
    .map(escapeControls)
    .join('\n')
}

function baseText({ base }: PlanDescription): string {
  const copied = base.copiedBytes === 0 ? '' : `, stored in the family (${formatBytes(base.copiedBytes)})`
  return `${base.source}  ${formatBytes(base.bytes)}, ${base.tensors} tensors${copied}`
}

function methodRows({ method, mergeable, merged }: PlanDescription): string[][] {
  const rows: string[][] = []
  if (method.merge !== null) {
    rows.push(
      ['method', `${method.merge}, λ ${method.lambda}, dtype ${method.dtype}`],
      ['kept', `${percent(method.density)} of ${mergeable.elements} entries, scope ${method.scope}`],
      ['merged', `${formatBytes(merged.bytes)}, ${mergeable.tensors} of ${merged.tensors} tensors merged`],
    )
  }
  if (method.lora !== null)
    rows.push(['adapters', `ranks: ${rankRuleText(method.lora.rule, method.lora.maxRank)}`])
  return rows
}

function taskRows({ tasks }: PlanDescription): string[] {
  if (tasks.length === 0) return []
  const header = ['task', 'at most', 'of model', 'values', 'index', 'whole', 'other']
  const rows = tasks.map((task) => [
    task.name,
    formatBytes(task.bytes),
    percent(task.share),
    formatBytes(task.values),
    formatBytes(task.index),
    formatBytes(task.whole),
    formatBytes(task.overhead),
  ])
  return ['', ...alignColumns([header, ...rows])]
}

function adapterRows({ adapters }: PlanDescription): string[] {
  if (adapters.length === 0) return []
  const header = ['LoRA task', 'at most', 'of adapter', 'layers', 'rank', 'factors', 'whole', 'other']
  const rows = adapters.map((task) => [
    task.name,
    formatBytes(task.bytes),
    percent(task.share),
    String(task.layers),
    `${task.originalRank} → ${task.rank}`,
    formatBytes(task.factors),
    formatBytes(task.whole),
    formatBytes(task.overhead),
  ])
  return ['', ...alignColumns([header, ...rows])]
}

/**
 * Notes for a terminal: those of one kind together, long lists cut.
 *
 * @param notes - of a plan or a result
 * @returns lines; none when there are no notes
 */
export function noteLines(notes: readonly PlanNote[]): string[] {
  if (notes.length === 0) return []
  const kinds = [...new Set(notes.map((note) => note.kind))]
  return [
    '',
    ...kinds.flatMap((kind) => {
      const some = notes.filter((note) => note.kind === kind)
      const lines = some.slice(0, SHOWN_NOTES).map((note) => `note: ${note.message}${cost(note.bytes)}`)
      return some.length > SHOWN_NOTES
        ? [...lines, `note: … and ${some.length - SHOWN_NOTES} more like this`]
        : lines
    }),
  ]
}

function cost(bytes: number | undefined): string {
  return bytes === undefined || bytes === 0 ? '' : ` (${formatBytes(bytes)})`
}

function free(bytes: number | null): string {
  return bytes === null ? '' : `, ${formatBytes(bytes)} free`
}
