import test from 'ava'
import { energyShares, splitEnergy, totalEnergy } from '../../../lib/lora/adapter-report.js'

test('the kept and the lost part are sums of squares', (t) => {
  t.deepEqual(splitEnergy([3, 2, 1], 1), { kept: 9, lost: 5 })
  t.deepEqual(splitEnergy([3, 2, 1], 5), { kept: 14, lost: 0 })
  t.deepEqual(splitEnergy([], 1), { kept: 0, lost: 0 })
})

test('shares; a layer of zeros has lost nothing', (t) => {
  t.deepEqual(energyShares({ kept: 9, lost: 16 }), { retainedEnergy: 9 / 25, relativeError: 0.8 })
  t.deepEqual(energyShares({ kept: 0, lost: 0 }), { retainedEnergy: 1, relativeError: 0 })
})

test('tiny errors do not vanish beside the kept part', (t) => {
  const { relativeError } = energyShares(splitEnergy([1, 1e-12], 1))
  t.true(Math.abs(relativeError - 1e-12) < 1e-20)
})

test('over several layers', (t) => {
  const layers = [
    { singularValues: [3, 4], rankAfter: 1 },
    { singularValues: [1], rankAfter: 1 },
  ]
  t.deepEqual(totalEnergy(layers), { retainedEnergy: 10 / 26, relativeError: Math.sqrt(16 / 26) })
})
