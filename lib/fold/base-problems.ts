import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { isPackPath } from '../pack/pack-path.js'
import type { FoldSettings } from './fold-options.js'
import type { FoldInputs } from './plan-types.js'
import { referToBase } from './refer-to-base.js'

/**
 * Tells why LoRA tasks could not find their base, and which options need LoRA tasks.
 *
 * @param settings - checked options
 * @param inputs - the opened models
 * @param outputFaulty - true when the output is refused anyway: then no path leads from it
 * @returns problems, empty when there are none
 */
export async function baseProblems(
  { output, rankRule, copyBase }: Pick<FoldSettings, 'output' | 'rankRule' | 'copyBase'>,
  { base, adapters }: FoldInputs,
  outputFaulty: boolean,
): Promise<TaskfoldError[]> {
  if (adapters.length === 0) {
    // A rank that nothing has would be ignored in silence.
    const given = [rankRule === null ? [] : ['a rule for ranks'], copyBase ? ['copyBase'] : []].flat()
    return given.map(
      (what) =>
        new TaskfoldError('INVALID_ARGUMENT', `${what} is given, but no task is a LoRA adapter`, {
          hint: 'give the folder of a PEFT adapter (with adapter_config.json) as a task, or leave the option out',
        }),
    )
  }
  if (!copyBase) {
    if (outputFaulty) return []
    return referToBase(base, output).then(
      () => [],
      (error) => [toTaskfoldError(error, { file: base.folder, action: 'refer to' })],
    )
  }
  const strange = base.files.find(
    ({ name }) => !isPackPath(name) || name.includes('/') || !/\.safetensors$/.test(name),
  )
  if (strange === undefined) return []
  return [
    new TaskfoldError('INVALID_ARGUMENT', `${strange.path}: a family cannot hold a file of this name`, {
      file: strange.path,
      hint: 'rename the shards of the base, or fold without copyBase',
    }),
  ]
}
