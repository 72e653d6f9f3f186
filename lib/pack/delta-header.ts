import type { EmittedTensor } from '../binding/binding-types.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { DeltaFilePlan } from './delta-plan.js'
import { ARRAY_ALIGNMENT, type TaskTensor } from './pack-format.js'
import { renderDeltaHeader, type StoredEntry } from './render-delta-header.js'
import { ARRAY_SUFFIXES, storedArrays } from './stored-arrays.js'

/** A delta file's header, and where the rest of the file belongs. */
export interface DeltaHeaderBytes {
  /** Length prefix, JSON and padding: exactly the plan's headerBytes. */
  header: Uint8Array
  /** What is still to be copied: `length` bytes of the task's tensor `name` from `fromByte` on, to `offset`. */
  wholes: { name: string; fromByte: number; offset: number; length: number }[]
  /** Stored tensors for the index, in file order. */
  stored: { name: string; bytes: number }[]
  /** Length of the finished file. */
  fileBytes: number
}

/**
 * Builds the header of a delta file whose arrays have been emitted.
 *
 * @param plan - the file
 * @param emitted - what emitDelta reported, for every name of plan.deltas
 * @returns header, places of the tensors kept whole, and the file's length
 * @throws TaskfoldError INTERNAL when the emitted arrays do not follow the plan
 */
export function buildDeltaHeader(
  plan: DeltaFilePlan,
  emitted: ReadonlyMap<string, EmittedTensor>,
): DeltaHeaderBytes {
  const stored: StoredEntry[] = []
  let end = plan.headerBytes
  const store = (entry: Omit<StoredEntry, 'begin' | 'end'>, offset: number, length: number) => {
    if (offset !== end) throw broken(plan, `${entry.name} was written at byte ${offset}, not at ${end}`)
    end += length
    stored.push({ ...entry, begin: offset - plan.headerBytes, end: end - plan.headerBytes })
  }
  const byName = new Map(plan.tensors.map((tensor) => [tensor.name, tensor]))
  for (const name of plan.deltas) {
    const tensor = byName.get(name)
    const entries = emitted.get(name)
    if (entries === undefined || (tensor?.kind !== 'delta' && tensor?.kind !== 'rows')) {
      throw broken(plan, `nothing was emitted for ${JSON.stringify(name)}`)
    }
    if (entries.kept === 0) continue
    const elements = (tensor.kind === 'rows' ? [tensor.rows, ...tensor.shape.slice(1)] : tensor.shape).reduce(
      (product, extent) => product * extent,
      1,
    )
    const { kept, index, values } = entries
    const shapes = storedArrays({ dtype: tensor.dtype, elements, kept, index, values })
    const places = {
      value: entries.value,
      index: entries.indexBytes,
      blocks: entries.blocks,
      scale: entries.scales,
    }
    for (const suffix of ARRAY_SUFFIXES) {
      const shape = shapes[suffix]
      if (shape === undefined) continue
      const { dtype, least, most, itemBytes } = shape
      const { offset, length } = places[suffix]
      const count = length / itemBytes
      if (count < least || count > most || length % ARRAY_ALIGNMENT !== 0) {
        const wanted = least === most ? `${least * itemBytes}` : `${least * itemBytes} to ${most * itemBytes}`
        throw broken(plan, `.${suffix} of ${JSON.stringify(name)} has ${length} bytes, not ${wanted}`)
      }
      store({ name: `${tensor.stem}.${suffix}`, dtype, shape: [count] }, offset, length)
    }
  }
  const wholes = plan.wholes.map(({ name, stored: storedName, dtype, shape, fromByte, length }) => {
    const offset = end
    store({ name: storedName, dtype, shape }, offset, length)
    return { name, fromByte, offset, length }
  })
  const described = plan.tensors.map((tensor): [string, TaskTensor] => {
    const entries = emitted.get(tensor.name)
    return [tensor.name, describe(tensor, entries)]
  })
  return {
    header: padHeader(renderDeltaHeader(plan.task, described, stored, plan.codec), plan),
    wholes,
    stored: stored.map(({ name, begin, end: last }) => ({ name, bytes: last - begin })),
    fileBytes: end,
  }
}

function describe(tensor: DeltaFilePlan['tensors'][number], emitted: EmittedTensor | undefined): TaskTensor {
  const shape = [...tensor.shape]
  // A fixed order of fields, whatever order the planner's objects have: the header's bytes are part of the result.
  switch (tensor.kind) {
    case 'delta':
    case 'rows': {
      const { kind, dtype, stem } = tensor
      const { kept, index } = emitted!
      const codes = { kept, index, ...valueFields(emitted!) }
      if (kind === 'delta') return { kind, dtype, shape, stem, ...codes }
      return { kind, dtype, shape, stem, rows: tensor.rows, ...codes }
    }
    case 'whole':
      return { kind: 'whole', dtype: tensor.dtype, shape, stem: tensor.stem }
    case 'same':
      return { kind: 'same', dtype: tensor.dtype, shape }
    case 'alias':
      return { kind: 'alias', dtype: tensor.dtype, shape, of: tensor.of }
  }
}

/** Left out where they say nothing. */
function valueFields({
  kept,
  values,
  scale,
}: EmittedTensor): Pick<TaskTensor & { kind: 'delta' }, 'values' | 'scale'> {
  if (kept === 0 || values === 'plain') return {}
  return scale === null ? { values } : { values, scale }
}

function padHeader(text: string, plan: DeltaFilePlan): Uint8Array {
  const header = Buffer.alloc(plan.headerBytes, ' ')
  const json = Buffer.from(text)
  if (json.length > plan.headerBytes - 8) throw broken(plan, `its header has ${json.length} bytes`)
  header.writeBigUInt64LE(BigInt(plan.headerBytes - 8), 0)
  json.copy(header, 8)
  return header
}

function broken(plan: DeltaFilePlan, problem: string): TaskfoldError {
  return new TaskfoldError('INTERNAL', `${plan.fileName} does not follow its plan: ${problem}`, {
    file: plan.fileName,
    task: plan.task,
    hint: 'this is a bug in taskfold: please report it',
  })
}
