import { isFloatDtype } from '../checkpoint/dtypes.js'
import { quoteName } from '../errors/quote-name.js'
import { extraRowBytes } from './extra-rows.js'
import type { MatchedTensors } from './match-tensors.js'
import type { PlannedTensor } from './plan-tensors.js'
import type { DtypeConversion, FoldInputs, ModelInputs, PlanNote, Tie } from './plan-types.js'

/** What {@link findNotes} looks at. */
export interface NoteSources extends Pick<MatchedTensors, 'mergeable' | 'tasks'> {
  inputs: FoldInputs
  ties: readonly Tie[]
  conversions: readonly DtypeConversion[]
}

/** How quantisers call the tensor that holds the scale of a weight. */
const SCALE_SUFFIXES = ['_scale', '_scale_inv', '.scale', '.scale_inv', '_scale_2']

/**
 * Collects what a user should know before folding: each missing, extra, mismatched or tied tensor with what it costs.
 *
 * @param sources - the plan's parts
 * @returns notes, task by task
 */
export function findNotes(sources: NoteSources): PlanNote[] {
  return [
    ...samePaths(sources.inputs),
    ...sources.conversions.map(conversionNote),
    ...sources.ties.map(tieNote),
    ...scaleNotes(sources),
    ...sources.tasks.flatMap((task) => [
      ...task.missing.map(
        (tensor): PlanNote => ({
          kind: 'missing',
          task: task.name,
          tensor,
          message: `task ${task.name} lacks ${quoteName(tensor)}: it is kept whole for the tasks that have it`,
        }),
      ),
      ...task.tensors.flatMap((tensor) => tensorNote(task.name, tensor, sources.inputs)),
    ]),
  ]
}

function tensorNote(task: string, tensor: PlannedTensor, { base }: ModelInputs): PlanNote[] {
  const { name, info } = tensor
  if (tensor.kind === 'rows') {
    const extra = (info.shape[0] ?? 0) - tensor.rows
    const bytes = extraRowBytes(tensor)
    const message = `task ${task}: ${quoteName(name)} is folded over ${tensor.rows} rows, ${extra} rows are kept whole`
    return [{ kind: 'rows', task, tensor: name, bytes, message }]
  }
  if (tensor.kind !== 'keep') return []
  const inBase = base.tensors.get(name)
  const float = isFloatDtype(info.dtype) && inBase !== undefined && isFloatDtype(inBase.dtype)
  const kind = inBase === undefined ? 'extra' : float ? 'mismatch' : 'not-float'
  const unless = tensor.maySame ? ' unless it equals the base’s' : ''
  const message = `task ${task}: ${quoteName(name)} is kept whole${unless}: ${tensor.reason}`
  return [{ kind, task, tensor: name, bytes: info.length, message }]
}

function conversionNote({ task, from, to, tensors, exact }: DtypeConversion): PlanNote {
  const who = task === null ? 'the base' : `task ${task}`
  const loss = exact
    ? 'nothing is lost'
    : 'values are rounded to nearest even, so the original is not restored bit for bit'
  const message = `${who}: ${count(tensors, 'tensor')} converted from ${from} to ${to}: ${loss}`
  return { kind: 'dtype', task: task ?? undefined, message }
}

function tieNote({ of, names }: Tie): PlanNote {
  const message = `${names.map(quoteName).join(', ')} tied to ${quoteName(of)}: stored once`
  return { kind: 'tied', tensor: of, message }
}

function scaleNotes({ mergeable, inputs }: NoteSources): PlanNote[] {
  return mergeable.flatMap(({ name, base }): PlanNote[] => {
    if (!base.dtype.startsWith('F8_')) return []
    const stem = name.endsWith('.weight') ? name.slice(0, -'.weight'.length) : name
    const names = SCALE_SUFFIXES.flatMap((suffix) => [`${name}${suffix}`, `${stem}${suffix}`])
    const scale = names.find((candidate) => candidate !== name && inputs.base.tensors.has(candidate))
    if (scale === undefined) return []
    const message =
      `${quoteName(name)} is ${base.dtype} with its scale in ${quoteName(scale)}: values are merged without it, ` +
      'which is right only when all models have the same scale'
    return [{ kind: 'scales', tensor: name, message }]
  })
}

function samePaths({ base, tasks, adapters }: FoldInputs): PlanNote[] {
  const seen = new Map<string, string>([[base.files[0]?.path ?? base.folder, 'the base']])
  const weights = adapters.map(({ name, adapter }) => ({ name, checkpoint: adapter.checkpoint }))
  return [...tasks, ...weights].flatMap(({ name, checkpoint }): PlanNote[] => {
    const path = checkpoint.files[0]?.path ?? checkpoint.folder
    const other = seen.get(path)
    seen.set(path, other ?? `task ${name}`)
    if (other === undefined) return []
    return [
      {
        kind: 'same-path',
        task: name,
        message: `task ${name} is the same model as ${other}: ${checkpoint.source}`,
      },
    ]
  })
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
