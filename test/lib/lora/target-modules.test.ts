import test from 'ava'
import { targetModules } from '../../../lib/lora/target-modules.js'
import { seededRandom } from '../../helpers/random.js'

/** How PEFT decides whether a module is adapted. */
function finds(target: string[] | string, module: string): boolean {
  if (typeof target === 'string') return new RegExp(`^(?:${target})$`).test(module)
  return target.some((name) => module === name || module.endsWith(`.${name}`))
}

test('the last component when all that have it were extracted', (t) => {
  const candidates = ['l.0.q_proj', 'l.0.v_proj', 'l.1.q_proj', 'l.1.v_proj', 'lm_head']
  t.deepEqual(targetModules(candidates, ['l.0.q_proj', 'l.1.q_proj']), ['q_proj'])
  t.deepEqual(targetModules(candidates, ['l.1.v_proj', 'l.0.q_proj', 'l.1.q_proj']), ['l.1.v_proj', 'q_proj'])
  t.deepEqual(targetModules(candidates, ['lm_head']), ['lm_head'])
  t.deepEqual(targetModules([], ['a.b']), ['b'])
})

test('a module that holds modules is not found by their last component', (t) => {
  t.deepEqual(targetModules(['x.output.dense', 'y.output'], ['y.output']), ['y.output'])
})

test('a regular expression where even a full name finds another module', (t) => {
  const target = targetModules(['lin', 'a.lin', 'b+'], ['lin', 'b+'])
  t.is(target, '^(?:b\\+|lin)$')
  t.true(finds(target, 'lin'))
  t.false(finds(target, 'a.lin'))
})

test('exactly the extracted modules are found, whatever the names (random)', (t) => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = seededRandom(seed)
    const part = () => random.pick(['a', 'b', 'c'])
    const names = Array.from({ length: 1 + random.below(12) }, () =>
      Array.from({ length: 1 + random.below(3) }, part).join('.'),
    )
    const candidates = [...new Set(names)]
    const extracted = candidates.filter(() => random.chance(0.5))
    if (extracted.length === 0) continue
    const target = targetModules(candidates, extracted)
    for (const module of candidates)
      t.is(
        finds(target, module),
        extracted.includes(module),
        `seed ${seed}: ${JSON.stringify(target)}, ${module}`,
      )
  }
})
