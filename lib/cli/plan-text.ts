import { escapeControls } from '../errors/quote-name.js'
import type { PlanDescription } from '../fold/describe-plan.js'
import type { PlanNote } from '../fold/plan-types.js'
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
  const { method, totals } = plan
  const facts = [
    ['base', `${plan.base.source}  ${formatBytes(plan.base.bytes)}, ${plan.base.tensors} tensors`],
    ['method', `${method.merge}, λ ${method.lambda}, dtype ${method.dtype}`],
    ['kept', `${percent(method.density)} of ${plan.mergeable.elements} entries, scope ${method.scope}`],
    [
      'merged',
      `${formatBytes(plan.merged.bytes)}, ${plan.mergeable.tensors} of ${plan.merged.tensors} tensors merged`,
    ],
    ['disk', `${formatBytes(totals.bytes)} at most${free(totals.freeBytes)}`],
    ['memory', `${formatBytes(totals.memoryBytes)} at most`],
  ]
  const header = ['task', 'at most', 'of model', 'values', 'index', 'whole', 'other']
  const rows = plan.tasks.map((task) => [
    task.name,
    formatBytes(task.bytes),
    percent(task.share),
    formatBytes(task.values),
    formatBytes(task.index),
    formatBytes(task.whole),
    formatBytes(task.overhead),
  ])
  return [
    `plan for ${plan.output}`,
    ...alignColumns(facts, [1]),
    '',
    ...alignColumns([header, ...rows]),
    ...noteLines(plan.notes),
  ]
    .map(escapeControls)
    .join('\n')
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
