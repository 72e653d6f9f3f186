import { shortestF32 } from '../checkpoint/shortest-f32.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { MergeMethod } from './merge-method.js'

/** Parameters of {@link taskArithmetic}. */
export interface TaskArithmeticParameters {
  /** Scaling coefficient λ, an f32 value. */
  lambda: number
}

/** θ* = θ0 + λ·Σt(θt − θ0) (arXiv 2212.04089); λ is rounded to f32 first. */
export const taskArithmetic: MergeMethod<TaskArithmeticParameters> = {
  name: 'task-arithmetic',
  check({ lambda = 0.3 }) {
    const rounded = typeof lambda === 'number' ? Math.fround(lambda) : Number.NaN
    if (!Number.isFinite(rounded)) {
      throw new TaskfoldError(
        'INVALID_ARGUMENT',
        `lambda must be a finite number in f32, got ${String(lambda)}`,
        {
          hint: 'use a value such as 0.3 (8 tasks) or 1 / number of tasks (the average)',
        },
      )
    }
    return { lambda: rounded }
  },
  describe: ({ lambda }) => ({ lambda: shortestF32(lambda) }),
  job: (tensors, { lambda }) => ({ tensors, lambda }),
}
