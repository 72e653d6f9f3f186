import { mapNativeError } from '../binding/call-native.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'

const ON_CPU = 'leave the device out: the model is then kept in the memory of this process, on the CPU'

/**
 * Errors of devices advise to use the CPU as commands do; a loaded model is put there by leaving the device out.
 *
 * @param error - what loading or a loaded model threw
 * @returns the same as a TaskfoldError, with advice that fits
 */
export function explainDevice(error: unknown): TaskfoldError {
  const typed = mapNativeError(error)
  if (typed.code !== 'DEVICE_UNAVAILABLE' && typed.code !== 'OUT_OF_MEMORY') return typed
  const advice = (typed.hint ?? '').replace(/(, or |; |^)use --device cpu$/, '')
  const hint = advice === '' || /\bcpu\b/i.test(advice) ? ON_CPU : advice
  if (hint === typed.hint) return typed
  const { code, message, file, tensor, task, index, cause } = typed
  return new TaskfoldError(code, message, { file, tensor, task, index, hint, cause: cause ?? error })
}

/**
 * A tensor that a model in memory does not have.
 *
 * @param family - the family's folder
 * @param task - what the model is now; null: θ*
 * @param name - of the tensor
 * @returns NOT_FOUND
 */
export function noTensor(family: string, task: string | null, name: string): TaskfoldError {
  const what = task === null ? 'the merged model' : `task '${task}'`
  return new TaskfoldError('NOT_FOUND', `${what} has no tensor ${quoteName(name)}`, {
    file: family,
    task: task ?? undefined,
    tensor: name,
    hint: 'model.tensors has all names',
  })
}

/**
 * A call of a model in memory that was closed.
 *
 * @param family - the family's folder
 * @returns INVALID_ARGUMENT
 */
export function modelClosed(family: string): TaskfoldError {
  return new TaskfoldError('INVALID_ARGUMENT', `${family}: this model was closed`, {
    file: family,
    hint: 'load it again with family.load',
  })
}
