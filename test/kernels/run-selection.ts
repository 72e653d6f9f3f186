import type { FloatDtype, JobControl, NativeSelection, Threshold } from '../../lib/binding/binding-types.js'
import { FLOAT_FIELDS } from '../reference/float-convert.js'
import { KEEP_NOTHING, residualKeys } from '../reference/magnitude-select.js'
import { mergeReference, type ReferenceOperand } from '../reference/merge.js'
import { native } from './addon.js'
import type { RegionMaker } from './regions.js'

/** One tensor with θ* already known, for selection and emit. */
export interface SelectionTensor {
  name: string
  dtype: FloatDtype
  elements: number
  base: ReferenceOperand
  tasks: ReferenceOperand[]
  merged: Uint8Array
}

/**
 * @param name - tensor name
 * @param dtype - storage dtype
 * @param base - θ0
 * @param tasks - θt in task order
 * @param lambda - λ, an f32
 */
export function selectionTensor(
  name: string,
  dtype: FloatDtype,
  base: ReferenceOperand,
  tasks: ReferenceOperand[],
  lambda: number,
): SelectionTensor {
  const elements = base.bytes.length / FLOAT_FIELDS[base.dtype].bytes
  return { name, dtype, elements, base, tasks, merged: mergeReference(dtype, base, tasks, lambda) }
}

/**
 * What the selection must answer, by sorting everything once.
 *
 * @param tensors - in ranking order
 * @returns thresholds for the numbers of entries to keep, one per task
 */
export function expectedThresholds(tensors: SelectionTensor[]): (ks: number[]) => Threshold[] {
  const tasks = tensors[0]?.tasks.length ?? 0
  const ranked = Array.from({ length: tasks }, (_, task) => {
    const keys = tensors.map((x) => residualKeys(x.dtype, x.tasks[task]!, x.merged))
    const all = new Uint32Array(keys.reduce((sum, list) => sum + list.length, 0))
    let at = 0
    for (const list of keys) {
      all.set(list, at)
      at += list.length
    }
    return all.sort().reverse()
  })
  return (ks) =>
    ks.map((k, task) => {
      const all = ranked[task]!
      if (k === 0) return { key: KEEP_NOTHING, ties: 0 }
      // All of them: the engine does not look for the smallest key, it keeps everything down to key 0.
      if (k === all.length) return { key: 0, ties: k }
      const key = all[k - 1]!
      return { key, ties: k - all.indexOf(key) }
    })
}

/** How to drive the protocol. */
export interface SelectionRun {
  lambda: number
  /** Tensors per native call. */
  batch?: number
  /** Sample pages first, as fold does. */
  sample?: boolean
  /** Leave the first pass to countResiduals instead of mergeTensors. */
  countOnly?: boolean
  /** Serialise and restore the selection after every call. */
  restore?: boolean
  control?: JobControl
}

/**
 * new → sample → merge over everything → advance → count until exact.
 *
 * @param regions - makes the operands
 * @param tensors - in ranking order
 * @param ks - entries to keep, per task
 * @param run - how to drive it
 * @returns the thresholds and how many full passes it took
 */
export async function runSelection(
  regions: RegionMaker,
  tensors: SelectionTensor[],
  ks: number[],
  run: SelectionRun,
): Promise<{ thresholds: Threshold[]; passes: number }> {
  const { lambda, batch = tensors.length, control = {} } = run
  const operand = (o: ReferenceOperand) => ({ region: regions.input(o.bytes), dtype: o.dtype })
  const merges = tensors.map((x) => ({
    name: x.name,
    elements: x.elements,
    dtype: x.dtype,
    base: operand(x.base),
    tasks: x.tasks.map(operand),
    out: null,
  }))
  const residuals = tensors.map((x, i) => ({
    name: x.name,
    elements: x.elements,
    dtype: x.dtype,
    merged: regions.input(x.merged),
    tasks: merges[i]!.tasks,
  }))
  const total = tensors.reduce((sum, x) => sum + x.elements, 0)
  let selection: NativeSelection = new native.Selection(ks.map((k) => ({ k, elements: total })))
  if (run.sample !== false) await native.sampleResiduals({ tensors: merges, lambda, selection }, control)
  for (let pass = 1; pass <= 40; pass++) {
    for (let at = 0; at < Math.max(1, tensors.length); at += Math.max(1, batch)) {
      if (pass === 1 && !run.countOnly) {
        const part = merges.slice(at, at + batch)
        await native.mergeTensors({ tensors: part, lambda, selection, nonFinite: 'keep' }, control)
      } else {
        const part = residuals.slice(at, at + batch)
        await native.countResiduals({ tensors: part, selection, nonFinite: 'keep' }, control)
      }
      if (run.restore) selection = await native.Selection.restore(await selection.snapshot())
    }
    if (selection.advance()) return { thresholds: selection.thresholds(), passes: pass }
    if (run.restore) selection = await native.Selection.restore(await selection.snapshot())
  }
  throw new Error('the selection does not end')
}
