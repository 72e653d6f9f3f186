import test from 'ava'
import { matchPatterns } from '../../../lib/lora/match-patterns.js'

const place = { file: 'adapter_config.json', field: 'rank_pattern' }
const match = (keys: string[], modules: string[]) => matchPatterns(keys, modules, place)

// Checked against re.match(rf"(.*\.)?({key})$", module) of Python 3.
const cases: [key: string, module: string, fits: boolean][] = [
  ['q_proj', 'model.layers.0.q_proj', true],
  ['q_proj', 'q_proj', true],
  ['q_proj', 'model.xq_proj', false],
  ['proj', 'model.q_proj', false],
  ['layers.0.q', 'model.layers.0.q', true],
  ['layers.0.q', 'layers_0_q', true],
  ['layers.0.q', 'model.layers.10.q', false],
  ['^layers.0.q', 'model.layers.0.q', false],
  ['^layers.0.q', 'layers.0.q', true],
  ['layers\\.0\\.q', 'model.layers.0.q', true],
  ['layers\\.0\\.q', 'layers_0_q', false],
  ['.*', 'anything.at.all', true],
  ['.*_proj', 'model.layers.0.q_proj', true],
  ['(q|v)_proj', 'model.v_proj', true],
  ['(q|v)_proj', 'model.k_proj', false],
  ['q|v', 'model.v', true],
  ['q|v', 'model.q', true],
  ['q|v', 'vv', false],
  ['q)|(v', 'model.v', false],
  ['q)|(v', 'v', true],
  ['layers.[0-3]\\..*', 'model.layers.2.q', true],
  ['layers.[0-3]\\..*', 'model.layers.4.q', false],
  ['\\d+', 'net.12', true],
  ['\\d+', 'net.x12', false],
  ['(?:a|b){2}', 'm.ab', true],
  ['a\\-b', 'a-b', true],
  ['q_proj$', 'model.q_proj', true],
  ['', 'model.', true],
  ['', 'model', false],
  ['Q_PROJ', 'model.q_proj', false],
  ['(?=q)q_proj', 'model.q_proj', true],
  ['\\(\\?x\\)', '(?x)', true],
]

for (const [key, module, fits] of cases) {
  test(`${JSON.stringify(key)} ${fits ? 'fits' : 'does not fit'} ${module}`, (t) => {
    t.deepEqual(match([key], [module]), [fits ? 0 : -1])
  })
}

test('the first pattern that fits counts, plain or not', (t) => {
  t.deepEqual(match(['v', '.*', 'q'], ['m.q', 'm.v']), [1, 0])
  t.deepEqual(match(['q', '.*'], ['m.q', 'm.v']), [0, 1])
  t.deepEqual(match(['m.q', 'q'], ['m.q', 'n.q', 'k']), [0, 1, -1])
})

test('a name that does not fit itself as a regular expression is looked up as it is', (t) => {
  t.deepEqual(match(['a+b'], ['a+b', 'aab']), [0, 0])
  t.deepEqual(match(['c', 'a+b'], ['a+b']), [1])
})

test('no patterns', (t) => {
  t.deepEqual(match([], ['a', 'b']), [-1, -1])
})

for (const key of [
  '(',
  '*',
  'a**',
  '(?i)q',
  '(?P<n>q)',
  '\\Aq',
  'q\\Z',
  '(q)\\1',
  'q{,2}',
  '[]q]',
  '[^]q]',
  'a++',
  '[z-a]',
]) {
  test(`${key} is refused by name`, (t) => {
    const error = t.throws(() => match([key], ['q']), { code: 'ADAPTER_UNSUPPORTED' })
    t.true(error?.message.includes(JSON.stringify(key)), error?.message)
    t.regex(error?.message ?? '', /rank_pattern/)
  })
}

test('classes of characters and names beyond ASCII', (t) => {
  t.throws(() => match(['\\w+'], ['größe']), { code: 'ADAPTER_UNSUPPORTED' })
  t.deepEqual(match(['größe'], ['m.größe']), [0])
})

test('a pattern that backtracks without end is an error, not a hang', (t) => {
  const endless = () => matchPatterns(['(a+)+b'], ['a'.repeat(60)], { ...place, timeoutMs: 100 })
  t.throws(endless, { code: 'ADAPTER_INVALID', message: /come to an end/ })
})

test('one pattern for each of thousands of modules', (t) => {
  const modules = Array.from({ length: 6000 }, (_, i) => `model.layers.${i % 60}.mlp.experts.${i}.up_proj`)
  t.deepEqual(
    match(modules, modules),
    modules.map((_, i) => i),
  )
})
