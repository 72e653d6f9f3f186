import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { fold, planSizes, type SizePlanOptions, verify } from '../../../lib/index.js'
import { callCli } from '../../helpers/call-cli.js'
import { seededRandom } from '../../helpers/random.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { writeModel } from '../../helpers/write-model.js'

function family(t: ExecutionContext) {
  const folder = tempFolder(t)
  const model = (name: string, seed: number) => {
    const shared = seededRandom(1)
    const own = seededRandom(seed)
    const tensor = (shape: [number, number], spread: number) => {
      const data = Float32Array.from(
        { length: shape[0] * shape[1] },
        () => shared.normal() + (seed > 0 ? spread * own.normal() ** 3 : 0),
      )
      return { dtype: 'F32' as const, shape, data: new Uint8Array(data.buffer) }
    }
    return writeModel(join(folder, name), {
      tensors: { a: tensor([400, 300], 0.1), b: tensor([200, 200], 0.02) },
    })
  }
  const tasks = { one: model('one', 1), two: model('two', 2) }
  return { base: model('base', 0), tasks, output: join(folder, 'family') }
}

test('what is predicted for step and exact is what a fold gives', async (t) => {
  const { base, tasks, output } = family(t)
  const plan = await planSizes({ base, tasks, lambdas: [0, 'average'], targetBits: [1], densities: [0.05] })
  t.is(plan.elements, 160_000)
  t.deepEqual(plan.tasks, ['one', 'two'])
  // Two λ, two tasks; exact at one density, four codecs at one size.
  t.is(plan.rows.length, 2 * 2 * (1 + 4))
  const average = plan.lambdas[1]!
  t.is(average.value, 0.5)
  const step = await fold({ base, tasks, output, codec: 'step', targetBits: 1, lambda: 'average' })
  for (const { name, loss } of step.tasks) {
    const row = plan.rows.find((r) => r.task === name && r.codec === 'step' && r.lambda === average.name)!
    t.true(
      Math.abs(row.relativeError / loss!.relativeError - 1) < 0.03,
      `${row.relativeError}, ${loss!.relativeError}`,
    )
    t.true(Math.abs(row.step! / loss!.step - 1) < 0.05)
    t.true(row.bits <= 1 && row.bits > 0.99)
  }
  await fold({ base, tasks, output, density: 0.05, lambda: 0.5, force: true })
  const { tasks: verified } = await verify(output, { against: tasks })
  for (const { name, against } of verified) {
    const row = plan.rows.find((r) => r.task === name && r.codec === 'exact' && r.lambda === average.name)!
    t.true(Math.abs(row.retainedEnergy - against!.retainedEnergy!) < 0.01)
  }
})

test('at λ = 0 the remainder is the task vector, and errors of all λ are given against it', async (t) => {
  const { base, tasks } = family(t)
  const { rows } = await planSizes({ base, tasks, targetBits: [0.5] })
  for (const row of rows.filter(({ lambda }) => lambda === '0')) {
    t.true(Math.abs(row.errorOfTaskVector! - row.relativeError) < 1e-9)
  }
  const without = await planSizes({ base, tasks, lambdas: [0.3], targetBits: [0.5] })
  for (const row of without.rows) t.is(row.errorOfTaskVector, null)
})

test('wrong lists, NaN and models that share nothing are refused', async (t) => {
  const { base, tasks } = family(t)
  const wrong: Partial<SizePlanOptions>[] = [
    { targetBits: [0] },
    { densities: [2] },
    { lambdas: [Number.NaN] },
  ]
  for (const options of wrong) {
    await t.throwsAsync(planSizes({ base, tasks, ...options }), { code: 'INVALID_ARGUMENT' })
  }
  const folder = tempFolder(t)
  const other = writeModel(join(folder, 'other'), { tensors: { x: { dtype: 'F32', shape: [1], data: [1] } } })
  await t.throwsAsync(planSizes({ base, tasks: { other } }), { code: 'NOTHING_TO_MERGE' })
  const data = Float32Array.of(Number.NaN)
  const nan = writeModel(join(folder, 'nan'), {
    tensors: { x: { dtype: 'F32', shape: [1], data: new Uint8Array(data.buffer) } },
  })
  const error = await t.throwsAsync(planSizes({ base: other, tasks: { nan } }), { code: 'NON_FINITE' })
  t.regex(error!.message, /x/)
  const controller = new AbortController()
  controller.abort()
  await t.throwsAsync(planSizes({ base, tasks, signal: controller.signal }), { code: 'CANCELLED' })
})

test.serial('the command prints a table for each λ, and JSON', async (t) => {
  const { base, tasks } = family(t)
  const models = Object.entries(tasks).flatMap(([name, path]) => ['--task', `${name}=${path}`])
  const plain = await callCli('plan', base, ...models, '--bits', '0.5,1', '--lambda', 'average,0.3')
  t.is(plain.code, 0, plain.err)
  t.regex(plain.out, /160000 parameters in 2 merged tensors/)
  t.regex(plain.out, /λ average \(0\.5\), mean of 2 tasks\ncodec +bits +bytes/)
  t.is(plain.out.match(/^step /gm)!.length, 4)
  const each = await callCli('plan', base, ...models, '--per-task', '--lambda', '0.3', '--bits', '1')
  t.regex(each.out, /λ 0\.3, task two/)
  const json = (await callCli('plan', base, ...models, '--bits', '1', '--lambda', '0.3', '--json')).json()
  t.is(json.rows.length, 2 * (3 + 4))
  t.is((await callCli('plan', base, ...models, '--bits', '0')).code, 2)
  t.is((await callCli('plan', base)).code, 2)
})
