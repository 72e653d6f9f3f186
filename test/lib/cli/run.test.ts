import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { run } from '../../../lib/cli/run.js'
import { callCli as call, Sink } from '../../helpers/call-cli.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { writeModel } from '../../helpers/write-model.js'

function models(t: ExecutionContext) {
  const folder = tempFolder(t)
  const write = (name: string, k: number) =>
    writeModel(join(folder, name), {
      tensors: {
        w: { dtype: 'F32', shape: [4], data: [1, 2, 3, k] },
        h: { dtype: 'F32', shape: [k], data: Array(k).fill(k) },
      },
    })
  const [base, one, two] = [write('base', 1), write('o=ne', 2), write('two', 3)]
  return { folder, base, one, two, family: join(folder, 'family') }
}

test.serial('fold, inspect, unfold and verify, as people call them', async (t) => {
  const { base, one, two, family, folder } = models(t)
  const folded = await call(
    'fold',
    base,
    '--task',
    `one=${one}`,
    '--task',
    `two=${two}`,
    '-o',
    family,
    '--density',
    '50%',
  )
  t.is(folded.code, 0, folded.err)
  t.is(folded.err, '')
  t.regex(folded.out, /^task +bytes +of original +kept\none +/)
  t.deepEqual(readdirSync(family).sort(), ['family.json', 'merged', 'tasks'])

  t.regex((await call('inspect', family)).out, /task-arithmetic, λ 0\.3, density 50/)
  t.regex((await call('inspect', base, '--tensors')).out, /w +F32 +\[4\]/)

  const single = join(folder, 'one-again')
  t.is((await call('unfold', family, '--task', 'one', '-o', single)).code, 0)
  t.true(existsSync(join(single, 'model.safetensors')))
  t.is((await call('unfold', family, '--all', '-o', join(folder, 'all'))).code, 0)
  t.deepEqual(readdirSync(join(folder, 'all')).sort(), ['one', 'two'])
  const several = await call(
    'unfold',
    family,
    '--task',
    'two',
    '--task',
    'one',
    '-o',
    join(folder, 'some'),
    '--json',
  )
  t.deepEqual(
    several.json().tasks.map(({ task }: { task: string }) => task),
    ['two', 'one'],
  )

  const verified = await call('verify', family, '--against', `one=${one}`)
  t.is(verified.code, 0)
  t.regex(verified.out, /against original/)
})

test.serial('--json prints one document and nothing else, --quiet nothing', async (t) => {
  const { base, one, family } = models(t)
  const args = ['fold', base, '--task', `one=${one}`, '-o', family]
  const plan = await call(...args, '--dry-run', '--json')
  t.is(plan.json().tasks[0].name, 'one')
  t.false(existsSync(family))
  const folded = await call(...args, '--json')
  t.is(folded.json().family, family)
  t.is(folded.err, '')
  const again = await call(...args, '--force', '--quiet')
  t.deepEqual([again.code, again.out, again.err], [0, '', ''])
  t.is((await call('devices', '--json')).json().cuda.devices.length >= 0, true)
  t.regex((await call('devices')).out, /^cpu {3}\S+/)
})

test.serial('a failed command exits with 1 and says why on stderr', async (t) => {
  const { base, one, family } = models(t)
  const args = ['fold', base, '--task', `one=${one}`, '-o', family]
  t.is((await call(...args)).code, 0)
  const again = await call(...args)
  t.is(again.code, 1)
  t.is(again.out, '')
  t.regex(again.err, /^error: .*already exists.*OUTPUT_EXISTS.*\nhint: .*--force/)
  const json = await call(...args, '--json')
  t.is(json.code, 1)
  t.is(json.err, '')
  t.is(json.json().error.code, 'OUTPUT_EXISTS')
  const missing = await call('fold', 'nowhere', '--task', 'a=nowhere-either', '-o', family, '--json')
  t.is(missing.code, 1)
  t.deepEqual(
    missing.json().error.problems.map(({ code, task }: { code: string; task?: string }) => [code, task]),
    [
      ['NOT_FOUND', undefined],
      ['NOT_FOUND', 'a'],
      ['OUTPUT_EXISTS', undefined],
    ],
  )
  t.is((await call('inspect', 'nowhere')).code, 1)
  t.is((await call('verify', base)).code, 1)
  t.regex((await call('unfold', family, '--task', 'x', '-o', 'out')).err, /its tasks are: one/)
})

test.serial('--dry-run with problems prints plan and problems and exits with 1', async (t) => {
  const { base, one, family } = models(t)
  const args = ['fold', base, '--task', `one=${one}`, '-o', family]
  await call(...args)
  const plan = await call(...args, '--dry-run')
  t.is(plan.code, 1)
  t.regex(plan.out, /^plan for /)
  t.regex(plan.err, /OUTPUT_EXISTS/)
  const json = await call(...args, '--dry-run', '--json')
  t.is(json.code, 1)
  t.is(json.json().problems[0].code, 'OUTPUT_EXISTS')
})

const usage: [string, string[], RegExp][] = [
  ['an unknown command', ['folde'], /unknown command 'folde'/],
  ['an unknown option', ['inspect', 'x', '--fast'], /unknown option '--fast'/],
  ['no task', ['fold', 'b', '-o', 'o'], /--task/],
  ['no output', ['fold', 'b', '--task', 'a=b'], /--output/],
  ['no base', ['fold', '--task', 'a=b', '-o', 'o'], /missing required argument 'base'/],
  ['too many arguments', ['inspect', 'a', 'b'], /too many arguments/],
  ['a task without a path', ['fold', 'b', '--task', 'a', '-o', 'o'], /NAME=PATH/],
  ['a density above 1', ['fold', 'b', '--task', 'a=b', '-o', 'o', '--density', '1.5'], /0% to 100%/],
  ['λ that is no number', ['fold', 'b', '--task', 'a=b', '-o', 'o', '--lambda', 'x'], /number/],
  ['another scope', ['fold', 'b', '--task', 'a=b', '-o', 'o', '--scope', 'layer'], /global, tensor/],
  ['another device', ['fold', 'b', '--task', 'a=b', '-o', 'o', '--device', 'gpu'], /"gpu" is not a device/],
  [
    'another device of lora resize',
    ['lora', 'resize', 'x', '-o', 'o', '--rank', '1', '--device', '0'],
    /"0" is not/,
  ],
  ['no amount', ['unfold', 'f', '--all', '-o', 'o', '--gpu-memory', 'much'], /a size, such as 8G/],
  ['a bad task name', ['fold', 'b', '--task', '../a=b', '-o', 'o'], /not usable as a folder name/],
  ['--task and --all', ['unfold', 'f', '--task', 'a', '--all', '-o', 'o'], /either --task NAME or --all/],
  ['neither --task nor --all', ['unfold', 'f', '-o', 'o'], /either --task NAME or --all/],
]

for (const [what, args, message] of usage) {
  test.serial(`a wrong command line exits with 2: ${what}`, async (t) => {
    const text = await call(...args)
    t.is(text.code, 2)
    t.is(text.out, '')
    t.regex(text.err, /^error: .*INVALID_ARGUMENT/)
    t.regex(text.err, message)
    const json = await call(...args, '--json')
    t.is(json.code, 2)
    t.is(json.json().error.code, 'INVALID_ARGUMENT')
  })
}

test.serial('help and version', async (t) => {
  for (const args of [
    ['--help'],
    ['fold', '--help'],
    ['unfold', '--help'],
    ['inspect', '--help'],
    ['verify', '--help'],
  ]) {
    const { code, out, err } = await call(...args)
    t.deepEqual([code, err], [0, ''])
    t.regex(out, /Examples:\n {2}\$ taskfold/)
  }
  t.regex((await call('--version')).out, /^\d+\.\d+\.\d+\n$/)
  const none = await call()
  t.is(none.code, 2)
  t.regex(none.err, /Usage: taskfold/)
})

test.serial('a progress bar is drawn on a terminal only', async (t) => {
  const { base, one, family } = models(t)
  const [stdout, stderr] = [new Sink(), new Sink()]
  stderr.isTTY = true
  t.is(await run(['fold', base, '--task', `one=${one}`, '-o', family], { stdout, stderr }), 0)
  t.true(stderr.text.length > 0)
  t.notRegex(stderr.text, /NaN|Infinity|undefined/)
})
