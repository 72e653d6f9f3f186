import test from 'ava'
import { explainLoadFailure, type LoadMachine, native } from '../../../lib/binding/load-binding.js'

const machine: LoadMachine = {
  platform: 'linux',
  arch: 'x64',
  nodeVersion: '20.20.2',
  musl: false,
  compiler: true,
  attempts: ['build/Release (absent)', 'prebuilds/linux-x64 (no .node file)'],
}

test('the addon loads once', (t) => {
  t.is(native(), native())
})

test('lists every attempt', (t) => {
  const error = explainLoadFailure(new Error('No native build was found\nmore'), machine)
  t.is(error.code, 'NATIVE_BINDING')
  t.regex(error.message, /No native build was found \(tried build\/Release \(absent\), prebuilds/)
  t.notRegex(error.message, /\n/)
  t.is(error.hint, 'then run npm rebuild taskfold (or npm run build in a clone)')
})

const cases: [string, Partial<LoadMachine>, string, RegExp, RegExp][] = [
  ['an old Node', { nodeVersion: '18.20.0' }, 'x', /install Node 20\.17/, /npm rebuild/],
  ['a system that is not supported', { platform: 'win32' }, 'x', /WSL/, /apt-get/],
  [
    'a file of another machine',
    {},
    'wrong ELF class: ELFCLASS32',
    /another machine than linux-x64/,
    /apt-get/,
  ],
  ['an old C++ library', {}, "version `GLIBCXX_3.4.32' not found", /rebuild from source/, /musl/],
  ['musl', { musl: true, compiler: false }, 'x', /apk add g\+\+/, /apt-get/],
  ['no compiler', { compiler: false }, 'x', /apt-get install g\+\+ cmake libhwy-dev libxxhash-dev/, /musl/],
  ['no compiler on macOS', { platform: 'darwin', compiler: false }, 'x', /xcode-select/, /apt-get/],
]

for (const [what, change, reason, fits, doesNot] of cases) {
  test(`names only the fixes that fit: ${what}`, (t) => {
    const { hint = '' } = explainLoadFailure(new Error(reason), { ...machine, ...change })
    t.regex(hint, fits)
    t.notRegex(hint, doesNot)
  })
}
