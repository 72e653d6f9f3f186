import { TaskfoldError } from '../errors/taskfold-error.js'
import { baseProblems } from './base-problems.js'
import { findConversions } from './find-conversions.js'
import { findNotes } from './find-notes.js'
import { findTies } from './find-ties.js'
import { checkFoldOptions, type FoldOptions, type FoldSettings } from './fold-options.js'
import { type MatchedTensors, matchTensors } from './match-tensors.js'
import { outputProblems } from './output-problems.js'
import { planAdapters } from './plan-adapters.js'
import { planMergedFiles } from './plan-merged-files.js'
import type { FoldInputs, FoldPlan, Tie } from './plan-types.js'
import { predictFamily } from './predict-family.js'
import { probeContent } from './probe-content.js'
import { throwProblems } from './problems.js'
import { readInputs } from './read-inputs.js'

/**
 * Plans a fold from headers alone: which tensors are merged, kept, tied or missing, what it will cost, and every
 * reason why it could not run, all at once.
 *
 * @param options - as for {@link fold}
 * @returns the plan; `problems` holds what would stop the fold
 * @throws TaskfoldError INVALID_ARGUMENT, or the code of a model that cannot be opened; PREFLIGHT_FAILED with
 * `problems` when there are several; CANCELLED
 */
export async function planFold(options: FoldOptions): Promise<FoldPlan> {
  const settings = checkFoldOptions(options)
  const { signal, onProgress } = options
  const { inputs, problems } = await readInputs(settings, { signal, onProgress })
  const output = await outputProblems(settings, inputs)
  if (inputs === null) {
    throwProblems([...problems, ...output])
    throw new TaskfoldError('INTERNAL', 'no model was opened, and no reason is known')
  }
  const ties =
    inputs.tasks.length > 0
      ? await findTies(inputs, (model, tensors) => probeContent(model, tensors, signal))
      : []
  return assemblePlan(settings, inputs, ties, output, signal)
}

/**
 * The part of planning that follows from headers, options and ties. A fold calls it again when a tie turns out not to
 * hold for every byte.
 *
 * @param settings - checked options
 * @param inputs - the opened models
 * @param ties - names that are stored once
 * @param found - problems found so far
 * @param signal - stops it
 * @returns the plan
 */
export async function assemblePlan(
  settings: FoldSettings,
  inputs: FoldInputs,
  ties: readonly Tie[],
  found: readonly TaskfoldError[],
  signal?: AbortSignal,
): Promise<FoldPlan> {
  const matched = inputs.tasks.length > 0 ? matchTensors(inputs, settings, ties) : NOTHING_MATCHED
  const conversions = findConversions(inputs, matched.mergeable)
  const mergedFiles = inputs.tasks.length > 0 ? planMergedFiles(inputs.base, matched.merged) : []
  const { adapters, problems: misfits } = planAdapters(inputs, settings)
  const predicted = await predictFamily({ settings, inputs, mergedFiles, adapters, ...matched }, signal)
  const problems = [
    ...found,
    ...nothingToMerge(matched),
    ...misfits,
    ...(await baseProblems(settings, inputs, found.length > 0)),
  ]
  if (predicted.freeBytes !== null && predicted.freeBytes < predicted.totalBytes) {
    problems.push(
      new TaskfoldError(
        'DISK_FULL',
        `${settings.output}: the family needs up to ${predicted.totalBytes} bytes, ${predicted.freeBytes} are free`,
        { file: settings.output, hint: 'free some space, choose another disk, or lower the density' },
      ),
    )
  }
  return {
    settings,
    inputs,
    mergeable: matched.mergeable,
    elements: matched.mergeable.reduce((sum, tensor) => sum + tensor.elements, 0),
    mergedFiles,
    tasks: matched.tasks,
    adapters,
    ties,
    conversions,
    notes: findNotes({ inputs, ties, conversions, ...matched }),
    problems,
    predicted,
  }
}

/** A family of LoRA tasks alone has no θ*. */
const NOTHING_MATCHED: MatchedTensors = { mergeable: [], merged: [], tasks: [] }

function nothingToMerge({ mergeable, tasks }: MatchedTensors): TaskfoldError[] {
  if (mergeable.length > 0 || tasks.length === 0) return []
  const names = tasks.map((task) => task.name).join(', ')
  return [
    new TaskfoldError(
      'NOTHING_TO_MERGE',
      `the base and the tasks (${names}) share no floating tensor of equal name and shape`,
      { hint: 'check that every task was fine-tuned from this base, and that all use the same tensor names' },
    ),
  ]
}
