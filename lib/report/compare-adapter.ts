import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { TensorInfo } from '../checkpoint/checkpoint-types.js'
import type { LoraAdapter, LoraLayer } from '../lora/adapter-types.js'
import { type LayerSum, truncateLayers } from '../lora/truncate-layers.js'
import type { PackAdapter } from '../materialize/open-pack-adapter.js'
import { differs } from './match-original.js'
import type { VerifyRun } from './verify-fingerprints.js'
import type { LayerComparison, TaskComparison } from './verify-types.js'

/** What the rounding of F32 factors may cost; anything above is a loss. */
const EXACT_ERROR = 1e-6

/**
 * Compares a LoRA task with its original, layer by layer: the norm of ΔŴ − ΔW from the factors of both, which are never
 * multiplied out. A lower rank is no fault; a layer or a whole tensor that is missing or strange becomes a problem.
 *
 * @param task - the open task
 * @param original - the adapter that it was made of
 * @param run - where problems and progress go
 * @returns how near the task is to its original
 * @throws TaskfoldError NON_FINITE, CANCELLED, IO_ERROR
 */
export async function compareAdapter(
  task: PackAdapter,
  original: LoraAdapter,
  run: VerifyRun,
): Promise<TaskComparison> {
  const pairs = matchLayers(task, original, run)
  const whole = sums(pairs, ({ wanted }) => [{ layer: wanted, coefficient: 1 }])
  const rest = sums(pairs, ({ wanted, found }) => [
    { layer: wanted, coefficient: 1 },
    { layer: found, coefficient: -1 },
  ])
  const norms = await squaredNorms(whole, task, run)
  const errors = await squaredNorms(rest, task, run)
  const restEqual = await compareRest(task, original, run)
  const layers = pairs.map(({ wanted, found }, i): LayerComparison => {
    const relativeError = ratio(errors[i]!, norms[i]!)
    return {
      module: wanted.module,
      originalRank: wanted.rank,
      rank: found.rank,
      relativeError,
      retainedEnergy: energy(relativeError),
    }
  })
  const relativeError = ratio(total(errors), total(norms))
  const complete = pairs.length === original.layers.length && pairs.length === task.adapter.layers.length
  return {
    source: original.source,
    exact: complete && restEqual && pairs.every(keepsRank) && layers.every(isExact),
    elements: 0,
    differing: 0,
    converted: pairs.filter(({ wanted, found }) => wanted.a.dtype !== found.a.dtype).length,
    maxError: null,
    relativeError,
    retainedEnergy: energy(relativeError),
    layers,
  }
}

interface Pair {
  wanted: LoraLayer
  found: LoraLayer
}

function matchLayers({ name, adapter }: PackAdapter, original: LoraAdapter, run: VerifyRun): Pair[] {
  const stored = new Map(adapter.layers.map((layer) => [layer.module, layer]))
  const pairs: Pair[] = []
  const problem = (layer: LoraLayer, text: string) =>
    run.problems.push(differs(original.checkpoint, { name }, layer.b.name, text))
  for (const wanted of original.layers) {
    const found = stored.get(wanted.module)
    stored.delete(wanted.module)
    if (found === undefined) problem(wanted, 'is not in the task')
    else if (found.rows !== wanted.rows || found.columns !== wanted.columns || found.kind !== wanted.kind) {
      const sides = [wanted, found].map(({ kind, rows, columns }) => `${kind} [${rows}, ${columns}]`)
      problem(wanted, `belongs to a ${sides[0]} layer, in the task to a ${sides[1]} one`)
    } else pairs.push({ wanted, found })
  }
  for (const layer of stored.values()) problem(layer, 'is missing, but the task has it')
  return pairs
}

function sums(pairs: readonly Pair[], parts: (pair: Pair) => LayerSum['parts']): LayerSum[] {
  return pairs.map((pair) => {
    const { module, rows, columns } = pair.wanted
    return { module, rows, columns, parts: parts(pair) }
  })
}

async function squaredNorms(
  layers: readonly LayerSum[],
  { name }: PackAdapter,
  run: VerifyRun,
): Promise<number[]> {
  const { files, threads, signal } = run
  let shown = 0
  const onBytes = (bytes: number) => {
    run.add(bytes - shown, { task: name })
    shown = bytes
  }
  const values = await truncateLayers(layers, null, { files, threads, signal, onBytes })
  return values.map((singular) => singular.reduceRight((sum, value) => sum + value * value, 0))
}

/** Tensors that an adapter has whole are copied as they are; answers whether all are equal. */
async function compareRest(task: PackAdapter, original: LoraAdapter, run: VerifyRun): Promise<boolean> {
  const stored = new Map(task.adapter.rest.map((info) => [info.name, info]))
  let equal = true
  const problem = (info: TensorInfo, text: string) => {
    equal = false
    run.problems.push(differs(original.checkpoint, task, info.name, text))
  }
  for (const wanted of original.rest) {
    const found = stored.get(wanted.name)
    stored.delete(wanted.name)
    if (found === undefined) problem(wanted, 'is not in the task')
    else if (describe(found) !== describe(wanted))
      problem(wanted, `is ${describe(wanted)}, in the task ${describe(found)}`)
    else if (!(await sameBytes(wanted, found, task, run)))
      problem(wanted, 'has other bytes than the family stores')
  }
  for (const info of stored.values()) problem(info, 'is missing, but the task has it')
  return equal
}

async function sameBytes(
  a: TensorInfo,
  b: TensorInfo,
  { name }: PackAdapter,
  run: VerifyRun,
): Promise<boolean> {
  const { files, threads, signal } = run
  const regions = [files.region(a), files.region(b)]
  const found = await callNative((control) => native().fingerprintRegions({ regions }, control), {
    threads,
    signal,
    context: { file: a.file, task: name },
  })
  return found[0] === found[1]
}

function keepsRank({ wanted, found }: Pair): boolean {
  return found.rank >= Math.min(wanted.rank, wanted.rows, wanted.columns)
}

function isExact({ relativeError }: LayerComparison): boolean {
  return relativeError !== null && relativeError <= EXACT_ERROR
}

function ratio(error: number, norm: number): number | null {
  if (error === 0) return 0
  const value = Math.sqrt(error / norm)
  return Number.isFinite(value) ? value : null
}

function energy(relativeError: number | null): number | null {
  return relativeError === null ? null : Math.max(0, 1 - relativeError * relativeError)
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}

function describe({ dtype, shape }: TensorInfo): string {
  return `${dtype} [${shape.join(', ')}]`
}
