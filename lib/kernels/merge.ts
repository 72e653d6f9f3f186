import type { FloatDtype } from '../binding/binding-types.js'
import { native } from '../binding/load-binding.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import { bytesOf, checkFloats, checkLength, type FloatArray, newFloats, operandOf } from './float-array.js'
import { type DeviceKernelOptions, runKernel } from './run-kernel.js'

/** Operands of {@link merge}. */
export interface MergeOptions<Values extends FloatArray> extends DeviceKernelOptions {
  /** θ0 */
  base: Values
  /** The θt, in the order in which their task vectors are added; all of the base's length. */
  tasks: readonly Values[]
  /** λ, rounded to f32. Default 0.3. */
  lambda?: number
  /** What the arrays hold; may be left out for Float32Arrays. */
  dtype?: FloatDtype
  /** NaN: 'error' (default) rejects with NON_FINITE, 'keep' lets it through. */
  nonFinite?: 'error' | 'keep'
}

/**
 * Task arithmetic: θ* = fma(λ, Σt(θt − θ0), θ0) in f32, rounded to the dtype; the same bits on every machine.
 *
 * @param options - base, tasks and λ
 * @returns θ*, a new array
 * @throws TaskfoldError INVALID_ARGUMENT, NON_FINITE, CANCELLED, DEVICE_UNAVAILABLE
 */
export async function merge<Values extends FloatArray>(options: MergeOptions<Values>): Promise<Values> {
  const { base, tasks, nonFinite = 'error' } = options
  const dtype = checkFloats('base', base, options.dtype)
  if (!Array.isArray(tasks) || tasks.length === 0)
    throw new TaskfoldError('INVALID_ARGUMENT', 'tasks must not be empty')
  for (const [i, task] of tasks.entries()) {
    checkFloats(`tasks[${i}]`, task, dtype)
    checkLength(`tasks[${i}]`, task, base.length)
  }
  const merged = newFloats(dtype, base.length)
  if (base.length === 0) return merged as Values
  const tensor = {
    name: 'values',
    elements: base.length,
    dtype,
    base: operandOf(base, dtype),
    tasks: tasks.map((task) => operandOf(task, dtype)),
    out: bytesOf(merged),
  }
  const job = { ...taskArithmetic.job([tensor], taskArithmetic.check({ lambda: options.lambda })), nonFinite }
  await runKernel(options, (control) => native().mergeTensors(job, control))
  return merged as Values
}
