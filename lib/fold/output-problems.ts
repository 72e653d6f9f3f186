import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { assertKeepsInputs, resolveOutputTarget, targetState } from '../io/output-target.js'
import type { FoldSettings } from './fold-options.js'
import { inputModels } from './input-models.js'
import type { FoldInputs } from './plan-types.js'

/**
 * Tells why the output could not be written where it is wanted.
 *
 * @param settings - output and force
 * @param inputs - the opened models, which must not be replaced; null when they could not be opened
 * @returns problems, empty when there are none
 */
export async function outputProblems(
  settings: FoldSettings,
  inputs: FoldInputs | null,
): Promise<TaskfoldError[]> {
  try {
    const target = await resolveOutputTarget(settings.output)
    for (const folder of [target, `${target}.partial`]) await assertKeepsInputs(folder, inputPaths(inputs))
    const state = await targetState(target)
    if (state === 'absent' || state === 'empty' || (state === 'replaceable' && settings.force)) return []
    const hint =
      state === 'replaceable'
        ? 'choose another output folder, or replace it with --force (option force: true)'
        : 'choose another output folder: only families and checkpoints are ever replaced'
    return [new TaskfoldError('OUTPUT_EXISTS', `${target} already exists`, { file: target, hint })]
  } catch (error) {
    return [toTaskfoldError(error, { file: settings.output, action: 'look at' })]
  }
}

/**
 * @param inputs - opened models
 * @returns every folder and file that is read
 */
export function inputPaths(inputs: FoldInputs | null): string[] {
  if (inputs === null) return []
  const folders = inputs.adapters.map(({ adapter }) => adapter.folder)
  const models = inputModels(inputs).flatMap((checkpoint) => [
    ...(checkpoint.config === null && checkpoint.otherFiles.length === 0 ? [] : [checkpoint.folder]),
    ...checkpoint.files.map((file) => file.path),
  ])
  return [...folders, ...models]
}
