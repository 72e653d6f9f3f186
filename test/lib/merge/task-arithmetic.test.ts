import test from 'ava'
import { taskArithmetic } from '../../../lib/merge/task-arithmetic.js'

test('λ is rounded to f32 and described by the fewest digits that round back', (t) => {
  for (const lambda of [0.3, 0.1, 1 / 3, 1, 0, -0.25, 1e-40, 3.4e38, 0.30000001192092896]) {
    const parameters = taskArithmetic.check({ lambda })
    t.is(parameters.lambda, Math.fround(lambda))
    t.is(Math.fround(Number(taskArithmetic.describe(parameters).lambda)), parameters.lambda)
  }
  t.is(taskArithmetic.describe(taskArithmetic.check({})).lambda, 0.3)
})

test('refuses λ that is no finite f32', (t) => {
  for (const lambda of [Number.NaN, Number.NEGATIVE_INFINITY, 3.5e38, '0.3', null, {}]) {
    t.throws(() => taskArithmetic.check({ lambda }), { code: 'INVALID_ARGUMENT', message: /lambda/ })
  }
})
