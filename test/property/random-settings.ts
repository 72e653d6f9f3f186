import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { type Random, seededRandom } from '../helpers/random.js'
import { type RandomFamily, randomFamily } from '../helpers/random-family.js'
import type { FamilySettings } from './check-family.js'

/** A family, how to fold it, and a line that says so when a comparison fails. */
export interface FamilyCase {
  family: RandomFamily
  settings: FamilySettings
  label: string
}

/**
 * The family and the settings of a seed.
 *
 * @param seed - decides everything
 * @param most - tensors at most
 */
export function familyCase(seed: number, most = 14): FamilyCase {
  const random: Random = seededRandom(seed)
  const settings: FamilySettings = {
    lambda: random.pick([0.3, 0.3, 1, 0, -0.5, 1 / 3]),
    density: random.pick([0, 1e-9, 0.001, 0.01, 0.1, 0.1, 0.5, 0.999, 1]),
    scope: random.pick(['global', 'tensor']),
    index: random.pick(['auto', 'auto', 'u16', 'bitmap', 'rice']),
    values: random.pick(['auto', 'auto', 'plain', 'coded']),
    dtype: random.pick(['keep', 'keep', 'keep', 'f32', 'f16', 'bf16']),
    rows: random.pick(['whole', 'prefix']),
    threads: random.pick([1, 2, 3, 7]),
  }
  const options = {
    tasks: random.pick([1, 2, 2, 3, 3, 5, 12]),
    tensors: 1 + random.below(most),
    storage: settings.dtype === 'keep' ? null : (settings.dtype.toUpperCase() as FloatDtype),
    // Where narrow floats overflow, infinities and NaN come up.
    wild: random.chance(0.2) || settings.dtype === 'f16',
  }
  const label = `seed ${seed}: ${JSON.stringify({ ...settings, ...options })}`
  return { family: randomFamily(random, options), settings, label }
}
