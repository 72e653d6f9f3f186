import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { createProgress } from '../io/progress.js'
import { floatBytes } from '../pack/stored-arrays.js'
import { makeBatches } from './batches.js'
import { FileTable } from './file-table.js'
import { findTies } from './find-ties.js'
import { checkFoldOptions } from './fold-options.js'
import { operandSource } from './fold-run.js'
import { matchTensors } from './match-tensors.js'
import { foldedPart } from './merge-operands.js'
import type { MergeableTensor } from './plan-tensors.js'
import type { FoldInputs } from './plan-types.js'
import { probeContent } from './probe-content.js'
import { throwProblems } from './problems.js'
import { readInputs } from './read-inputs.js'
import { ResidualBins } from './residual-bins.js'
import type { PlanLambda, SizePlan, SizePlanOptions } from './size-plan-types.js'
import { sizeRows } from './size-rows.js'

/** Bytes that all histograms together may take; more groups describe a model better. */
const HISTOGRAM_BYTES = 128 * 1024 * 1024
/** Of one λ, task and group: 32 640 counts of 8 bytes. */
const HISTOGRAM_SIZE = 32640 * 8
const MAX_GROUPS = 64

/**
 * Predicts what every codec would cost and leave at several sizes, for several λ, without writing anything: one pass over
 * base and tasks counts the residuals of every λ in histograms, whose memory does not grow with the model.
 *
 * @param options - base, tasks, and which λ and sizes to compare
 * @returns one row for each λ, task, codec and size
 * @throws TaskfoldError INVALID_ARGUMENT, NON_FINITE, NOTHING_TO_MERGE or the code of a model that cannot be opened;
 * CANCELLED
 *
 * @example
 * ```ts
 * const { rows } = await planSizes({ base: 'vit-base', tasks: { cars: 'vit-cars', pets: 'vit-pets' } })
 * for (const { lambda, codec, bits, relativeError } of rows) console.log(lambda, codec, bits, relativeError)
 * ```
 */
export async function planSizes(options: SizePlanOptions): Promise<SizePlan> {
  const { signal, onProgress, targetBits = [0.1, 0.25, 0.5, 1, 2], densities = [0.01, 0.05, 0.1] } = options
  const { base, tasks, dtype, rows, threads, cacheDir } = options
  checkLists({ targetBits, densities, lambdas: options.lambdas ?? [] })
  const settings = checkFoldOptions({ base, tasks, dtype, rows, threads, cacheDir, output: 'nothing' })
  const { inputs, problems } = await readInputs(settings, { signal, onProgress })
  if (inputs === null) {
    throwProblems(problems)
    throw new TaskfoldError('INTERNAL', 'no model was opened, and no reason is known')
  }
  const ties = await findTies(inputs, (model, tensors) => probeContent(model, tensors, signal))
  const { mergeable } = matchTensors(inputs, settings, ties)
  const elements = mergeable.reduce((sum, tensor) => sum + tensor.elements, 0)
  if (elements === 0) {
    throw new TaskfoldError('NOTHING_TO_MERGE', 'the base and its full fine-tunes share no floating tensor', {
      hint: 'check that every task was fine-tuned from this base; LoRA adapters are not part of a plan',
    })
  }
  const lambdas = planLambdas(options.lambdas ?? [0, 'average', 0.1, 0.3], inputs.tasks.length)
  const groups = await countResiduals(mergeable, inputs, lambdas, options)
  const modelBytes = mergeable.reduce((sum, tensor) => sum + tensor.elements * floatBytes(tensor.dtype), 0)
  const shape = { elements, modelBytes, dtype: mergeable[0]?.dtype ?? 'F32', targetBits, densities } as const
  return {
    elements,
    modelBytes,
    tensors: mergeable.length,
    tasks: inputs.tasks.map(({ name }) => name),
    lambdas,
    rows: lambdas.flatMap((lambda, l) =>
      inputs.tasks.flatMap(({ name }, t) =>
        sizeRows({ lambda: lambda.name, task: name }, groups[l]![t]!, {
          ...shape,
          taskVector: taskVectorSquared(groups, lambdas, t),
        }),
      ),
    ),
  }
}

function checkLists({
  targetBits,
  densities,
  lambdas,
}: Required<Pick<SizePlanOptions, 'targetBits' | 'densities' | 'lambdas'>>): void {
  const numbers = [...targetBits, ...densities, ...lambdas.filter((value) => value !== 'average')]
  const bad = numbers.find((value) => typeof value !== 'number' || !Number.isFinite(value))
  const low = [...targetBits, ...densities].find((value) => !(value > 0))
  const high = densities.find((value) => value > 1)
  const wrong = bad ?? low ?? high
  if (wrong === undefined) return
  throw new TaskfoldError('INVALID_ARGUMENT', `a plan cannot use ${String(wrong)}`, {
    hint: 'targetBits are numbers above 0, densities above 0 and at most 1, lambdas finite numbers or average',
  })
}

function planLambdas(given: readonly (number | 'average')[], tasks: number): PlanLambda[] {
  return given.map((value) =>
    value === 'average'
      ? { name: `average (${Number((1 / tasks).toPrecision(3))})`, value: Math.fround(1 / tasks) }
      : { name: String(value), value: Math.fround(value) },
  )
}

/** ‖θt − θ0‖²: the remainder at λ = 0, when that was counted. */
function taskVectorSquared(
  groups: readonly (readonly (readonly ResidualBins[])[])[],
  lambdas: readonly PlanLambda[],
  task: number,
): number | null {
  const zero = lambdas.findIndex(({ value }) => value === 0)
  return zero < 0 ? null : groups[zero]![task]!.reduce((sum, bins) => sum + bins.total.squares, 0)
}

/** Residuals by λ, task and group of tensors, from one pass. */
async function countResiduals(
  mergeable: readonly MergeableTensor[],
  inputs: FoldInputs,
  lambdas: readonly PlanLambda[],
  { signal, onProgress, threads }: SizePlanOptions,
): Promise<ResidualBins[][][]> {
  const binding = native()
  const tasks = inputs.tasks.length
  const room = Math.floor(HISTOGRAM_BYTES / (HISTOGRAM_SIZE * lambdas.length * tasks))
  const groups = Math.max(1, Math.min(MAX_GROUPS, room, mergeable.length))
  const histogram = new binding.Histogram({ lambdas: lambdas.map(({ value }) => value), tasks, groups })
  const elements = mergeable.reduce((sum, tensor) => sum + tensor.elements, 0)
  const bytesOf = (tensor: MergeableTensor) => tensor.elements * floatBytes(tensor.dtype) * (1 + tasks)
  const progress = createProgress(
    onProgress,
    'count',
    mergeable.reduce((sum, tensor) => sum + bytesOf(tensor), 0),
  )
  const files = new FileTable(binding)
  try {
    let before = 0
    let seen = 0
    for (const batch of makeBatches(mergeable)) {
      const tensors = batch.map((tensor) => {
        // Groups of about equal size, of neighbours: layers of a kind lie far apart, but so do a layer's matrices.
        const group = Math.min(groups - 1, Math.floor((groups * seen) / elements))
        seen += tensor.elements
        return {
          name: tensor.name,
          elements: tensor.elements,
          dtype: tensor.dtype,
          base: foldedPart({ files }, tensor, tensor.base),
          tasks: tensor.tasks.map((info) => foldedPart({ files }, tensor, info)),
          merged: null,
          group,
        }
      })
      const context = {
        operand: (operand: string | number, name?: string) => operandSource(inputs, operand, name),
      }
      await callNative((control) => binding.countHistogram({ tensors, histogram }, control), {
        signal,
        threads,
        context,
        onProgress: (bytes) => progress.set(before + bytes),
      })
      files.trim()
      before += batch.reduce((sum, tensor) => sum + bytesOf(tensor), 0)
      progress.set(before, { tensor: batch.at(-1)?.name })
    }
  } finally {
    files.close()
  }
  progress.done()
  return lambdas.map((_, lambda) =>
    inputs.tasks.map((_task, task) =>
      Array.from({ length: groups }, (_group, group) => ResidualBins.of(histogram, { lambda, task, group })),
    ),
  )
}
