import { mapNativeError } from '../binding/call-native.js'
import { TaskfoldError } from '../errors/taskfold-error.js'

const GPU_ONLY = 'only a GPU holds loaded models today; on the CPU, take family.tensors or family.materialize'

/**
 * Errors of devices advise to use the CPU, which cannot hold a loaded model.
 *
 * @param error - what loading or a loaded model threw
 * @returns the same as a TaskfoldError, with advice that fits
 */
export function explainDevice(error: unknown): TaskfoldError {
  const typed = mapNativeError(error)
  if (typed.code !== 'DEVICE_UNAVAILABLE' && typed.code !== 'OUT_OF_MEMORY') return typed
  const advice = (typed.hint ?? '').replace(/(, or |; |^)use --device cpu$/, '')
  const hint = advice === '' || /\bcpu\b/i.test(advice) ? GPU_ONLY : advice
  if (hint === typed.hint) return typed
  const { code, message, file, tensor, task, index, cause } = typed
  return new TaskfoldError(code, message, { file, tensor, task, index, hint, cause: cause ?? error })
}
