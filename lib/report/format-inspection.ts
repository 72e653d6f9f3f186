import { escapeControls } from '../errors/quote-name.js'
import type { ManifestLoraMethod } from '../pack/manifest-types.js'
import { alignColumns } from './align-columns.js'
import { adapterLines } from './format-adapter.js'
import { formatBytes } from './format-bytes.js'
import type {
  CheckpointInspection,
  ExactTaskInspection,
  FamilyInspection,
  Inspection,
  LoraTaskInspection,
} from './inspection-types.js'

/**
 * Writes an inspection as text for a terminal; names from files cannot bring control characters into it.
 *
 * @param inspection - what inspect gave
 * @returns lines with aligned columns, without a trailing newline
 */
export function formatInspection(inspection: Inspection): string {
  return linesOf(inspection).map(escapeControls).join('\n')
}

function linesOf(inspection: Inspection): string[] {
  switch (inspection.kind) {
    case 'family':
      return familyLines(inspection)
    case 'adapter':
      return adapterLines(inspection)
    case 'checkpoint':
      return checkpointLines(inspection)
  }
}

function familyLines(family: FamilyInspection): string[] {
  const { path, format, writtenBy, base, method, merged, tasks, totals } = family
  const facts = [
    ['base', `${base.name}  ${formatBytes(base.bytes)}${placeOf(base)}`],
    ...(method.merge === undefined
      ? []
      : [
          [
            'method',
            `${method.merge}, λ ${method.lambda}, density ${percent(method.density)}, scope ${method.scope}`,
          ],
          ['dtype', method.dtype],
        ]),
    ...(method.lora === undefined ? [] : [['ranks', ruleText(method.lora)]]),
    ...(merged === null ? [] : [['merged', `${formatBytes(merged.bytes)}, ${merged.tensors} tensors`]]),
  ]
  const { familyBytes, originalBytes, ratio } = totals
  return [
    `family ${path} (format ${format}, written by taskfold ${writtenBy})`,
    ...alignColumns(facts, [1]),
    ...exactLines(tasks.filter((task) => task.codec !== 'lora')),
    ...loraLines(tasks.filter((task) => task.codec === 'lora')),
    '',
    `total ${formatBytes(familyBytes)}; one ${tasks.every((task) => task.codec === 'lora') && tasks.length > 0 ? 'adapter' : 'model'} per task: ${formatBytes(originalBytes)}` +
      (ratio === null ? '' : ` (${ratio.toFixed(2)} times as much)`),
    ...tasks.flatMap((task) => (task.codec === 'lora' ? [] : tensorLines(task))),
  ]
}

function placeOf({ reference, copiedBytes }: FamilyInspection['base']): string {
  if (copiedBytes > 0) return ', in the family'
  return reference === null ? '' : `, at ${reference}`
}

function ruleText({ rule, maxRank }: ManifestLoraMethod): string {
  const cap = maxRank === undefined ? '' : `, at most ${maxRank}`
  if (rule === null) return 'as they were'
  const { kind, ...values } = rule
  return `${kind} ${Object.values(values).join(' ')}${cap}`
}

function exactLines(tasks: readonly ExactTaskInspection[]): string[] {
  if (tasks.length === 0) return []
  const header = [
    'task',
    'bytes',
    'of original',
    'kept',
    'density',
    'codec',
    'index codes',
    'value codes',
    'whole',
    'same',
    'tied',
  ]
  const rows = tasks.map((task) => [
    task.name,
    formatBytes(task.bytes),
    percent(task.share),
    String(task.kept),
    percent(task.density),
    codecText(task),
    codes(task.indexCodes),
    codes(task.valueCodes),
    String(task.kinds.whole + task.kinds.rows),
    String(task.kinds.same),
    String(task.kinds.alias),
  ])
  return ['', ...alignColumns([header, ...rows])]
}

/** With what a stream codec reached. */
function codecText({ codec, loss }: ExactTaskInspection): string {
  if (loss === null) return codec
  return `${codec}, ${loss.bits.toFixed(3)} bits, error ${loss.relativeError.toFixed(3)}`
}

/** Codes in use and how many tensors have them. */
function codes(counts: Readonly<Record<string, number>>): string {
  const used = Object.entries(counts).filter(([, count]) => count > 0)
  return used.map(([code, count]) => `${code} ${count}`).join(', ') || '-'
}

function loraLines(tasks: readonly LoraTaskInspection[]): string[] {
  if (tasks.length === 0) return []
  const header = [
    'LoRA task',
    'bytes',
    'before',
    'of original',
    'layers',
    'rank',
    'rank before',
    'least energy',
  ]
  const rows = tasks.map((task) => [
    task.name,
    formatBytes(task.bytes),
    formatBytes(task.originalBytes),
    percent(task.share),
    String(task.layers.length),
    String(task.rank),
    String(task.originalRank),
    percent(task.retainedEnergy),
  ])
  return ['', ...alignColumns([header, ...rows])]
}

function tensorLines(task: ExactTaskInspection): string[] {
  if (task.tensors === undefined) return []
  const header = [`tensors of ${task.name}`, 'kind', 'dtype', 'shape', 'bytes', 'stored', 'kept', 'index']
  const rows = task.tensors.map((tensor) => [
    tensor.name,
    tensor.of === null ? tensor.kind : `tied to ${tensor.of}`,
    tensor.dtype,
    shape(tensor.shape),
    String(tensor.bytes),
    String(tensor.storedBytes),
    tensor.kept === null ? '' : String(tensor.kept),
    tensor.index ?? '',
  ])
  return ['', ...alignColumns([header, ...rows], [1, 2, 3])]
}

function checkpointLines(inspection: CheckpointInspection): string[] {
  const { source, files, otherFiles, dtypes, totals, tensors } = inspection
  const fileRows = files.map((file) => [file.name, formatBytes(file.bytes), String(file.tensors)])
  const dtypeRows = dtypes.map((row) => [
    row.dtype,
    formatBytes(row.bytes),
    String(row.tensors),
    String(row.elements),
  ])
  const metadata = files.flatMap((file) =>
    Object.entries(file.metadata).map(([key, value]) => `${key}=${value}`),
  )
  const lines = [
    `checkpoint ${source}: ${totals.tensors} tensors, ${totals.elements} elements, ${formatBytes(totals.bytes)}`,
    '',
    ...alignColumns([['file', 'bytes', 'tensors'], ...fileRows]),
    '',
    ...alignColumns([['dtype', 'bytes', 'tensors', 'elements'], ...dtypeRows]),
  ]
  if (metadata.length > 0) lines.push('', `metadata: ${[...new Set(metadata)].join(', ')}`)
  if (otherFiles.length > 0) lines.push('', `other files: ${otherFiles.join(', ')}`)
  if (tensors === undefined) return lines
  const rows = tensors.map(({ name, dtype, shape: extents, bytes, file }) => [
    name,
    dtype,
    shape(extents),
    String(bytes),
    file,
  ])
  return [...lines, '', ...alignColumns([['tensor', 'dtype', 'shape', 'bytes', 'file'], ...rows], [1, 2, 4])]
}

function percent(share: number | null): string {
  return share === null ? '–' : `${(share * 100).toFixed(share < 0.0995 ? 2 : 1)} %`
}

function shape(extents: readonly number[]): string {
  return `[${extents.join(', ')}]`
}
