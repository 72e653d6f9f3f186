import type { FloatDtype, IndexCode } from '../../lib/binding/binding-types.js'
import { encodeDelta, type ReferenceDelta } from './delta-encode.js'
import { convertFloats, FLOAT_FIELDS } from './float-convert.js'
import { residualKeys, selectReference } from './magnitude-select.js'
import { mergeReference, type ReferenceOperand } from './merge.js'

/** One mergeable tensor of a family: the base's and each task's bytes, in task order. */
export interface ReferenceTensor {
  name: string
  dtype: FloatDtype
  base: ReferenceOperand
  tasks: ReferenceOperand[]
}

/** What the folded family must hold. */
export interface ReferenceFold {
  /** θ* by tensor name. */
  merged: Map<string, Uint8Array>
  /** Per task, by tensor name. */
  deltas: Map<string, ReferenceDelta>[]
  /** Per task, by tensor name: flat positions kept, ascending. */
  positions: Map<string, number[]>[]
  /** Per task, by tensor name: what unfolding gives. */
  unfolded: Map<string, Uint8Array>[]
}

/**
 * Folds a whole family the slow way.
 *
 * @param tensors - all mergeable tensors, in any order
 * @param options - λ (rounded to f32 here), density m, scope, index code, value code
 */
export function foldReference(
  tensors: readonly ReferenceTensor[],
  options: {
    lambda: number
    density: number
    scope: 'global' | 'tensor'
    index?: IndexCode | 'auto'
    values?: 'auto' | 'plain' | 'coded'
  },
): ReferenceFold {
  const lambda = Math.fround(options.lambda)
  const sorted = [...tensors].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
  const merged = new Map(sorted.map((t) => [t.name, mergeReference(t.dtype, t.base, t.tasks, lambda)]))
  const share = (n: number) => Math.floor(options.density * n + 0.5)
  const deltas: ReferenceFold['deltas'] = []
  const positions: ReferenceFold['positions'] = []
  const unfolded: ReferenceFold['unfolded'] = []
  for (let task = 0; task < (sorted[0]?.tasks.length ?? 0); task++) {
    const keys = sorted.map((t) => residualKeys(t.dtype, t.tasks[task]!, merged.get(t.name)!))
    const total = keys.reduce((sum, list) => sum + list.length, 0)
    const kept =
      options.scope === 'global'
        ? selectReference(keys, share(total)).positions
        : keys.map((list) => selectReference([list], share(list.length)).positions[0]!)
    positions.push(new Map(sorted.map((t, i) => [t.name, kept[i]!])))
    const taskDeltas = new Map<string, ReferenceDelta>()
    const taskTensors = new Map<string, Uint8Array>()
    sorted.forEach((t, i) => {
      const size = FLOAT_FIELDS[t.dtype].bytes
      const own = convertFloats(t.tasks[task]!.dtype, t.dtype, t.tasks[task]!.bytes)
      taskDeltas.set(
        t.name,
        encodeDelta(kept[i]!, own, size, options.index ?? 'auto', options.values ?? 'auto'),
      )
      const whole = merged.get(t.name)!.slice()
      for (const at of kept[i]!) whole.set(own.subarray(at * size, (at + 1) * size), at * size)
      taskTensors.set(t.name, whole)
    })
    deltas.push(taskDeltas)
    unfolded.push(taskTensors)
  }
  return { merged, deltas, positions, unfolded }
}
