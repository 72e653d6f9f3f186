import test, { type ExecutionContext } from 'ava'
import { seededRandom } from '../helpers/random.js'
import { type NativeError, native } from './addon.js'
import { regionMaker } from './regions.js'
import { openStep, runStepEncoder, scatterStep, stepTensor } from './step-run.js'

const STEP = Math.fround(0.01)

function setUp(t: ExecutionContext, seed: number) {
  const random = seededRandom(seed)
  const regions = regionMaker(t, random)
  const tensors = [70000, 100, 200].map((size) => stepTensor(random, size, STEP, 1))
  const jobs = tensors.map(({ shape, merged, task, taskDtype }) => ({
    ...shape,
    merged: regions.input(merged),
    task: { region: regions.input(task), dtype: taskDtype },
  }))
  const out = regions.file()
  const options = { step: STEP, deadZone: 0.65, tensors: tensors.map(({ shape }) => shape) }
  const encoder = new native.StepEncoder({ ...options, out: out.file, offset: 0 })
  return { random, regions, tensors, jobs, out, options, encoder }
}

const rejects = async (t: ExecutionContext, run: () => unknown, code: string, message?: RegExp) => {
  const error = (await t.throwsAsync(async () => run())) as NativeError | undefined
  t.is(error?.code, code, error?.message)
  if (message) t.regex(error?.message ?? '', message)
  return error
}

test('calls of an encoder out of turn', async (t) => {
  const { jobs, encoder } = setUp(t, 1)
  await rejects(t, () => encoder.prepare(), 'INVALID_ARGUMENT', /0 of 3 tensors/)
  await rejects(t, () => encoder.finish(), 'INVALID_ARGUMENT', /prepare/)
  await rejects(t, () => native.encodeStep({ encoder, tensors: jobs }, {}), 'INVALID_ARGUMENT', /prepare/)
  await rejects(
    t,
    () => native.countStep({ encoder, tensors: jobs.slice(1) }, {}),
    'INVALID_ARGUMENT',
    /next/,
  )
  const wrong = [{ ...jobs[0]!, rows: 2, columns: 35000 }]
  await rejects(t, () => native.countStep({ encoder, tensors: wrong }, {}), 'INVALID_ARGUMENT', /next/)
  const short = [{ ...jobs[0]!, merged: new Uint8Array(3) }]
  await rejects(t, () => native.countStep({ encoder, tensors: short }, {}), 'INVALID_ARGUMENT', /merged/)
  // None of that did any harm.
  await native.countStep({ encoder, tensors: jobs }, {})
  await rejects(t, () => native.countStep({ encoder, tensors: jobs }, {}), 'INVALID_ARGUMENT', /no more/)
  encoder.prepare()
  await rejects(t, () => encoder.prepare(), 'INVALID_ARGUMENT')
  await native.encodeStep({ encoder, tensors: jobs }, {})
  await encoder.finish()
  await rejects(t, () => encoder.finish(), 'INVALID_ARGUMENT', /finished/)
})

test('one job at a time', async (t) => {
  const { out, options } = setUp(t, 2)
  // Long enough to be still running when the next line is reached.
  const shape = { name: 'w', dtype: 'F32' as const, rows: 1, columns: 2 ** 23 }
  const zeros = new Uint8Array(4 * shape.columns)
  const tensors = [{ ...shape, merged: zeros, task: { region: zeros, dtype: 'F32' as const } }]
  const encoder = new native.StepEncoder({ ...options, tensors: [shape], out: out.file, offset: 0 })
  const running = native.countStep({ encoder, tensors }, {})
  t.throws(() => native.countStep({ encoder, tensors }, {}), { message: /running job/ })
  t.throws(() => encoder.prepare(), { message: /running job/ })
  await running
  encoder.prepare()
  // Cancelled before it began: nothing happened.
  const cancel = new native.CancelToken()
  cancel.cancel()
  await rejects(t, () => native.encodeStep({ encoder, tensors }, { cancel }), 'CANCELLED')
  await native.encodeStep({ encoder, tensors }, {})
  const result = await encoder.finish()
  t.deepEqual(
    [...result.directory],
    Array.from({ length: 128 }, () => 0),
  )
  t.deepEqual([...result.tables], [0])
  t.is(result.codesBytes, 0)
})

test('values that changed between the passes', async (t) => {
  const { jobs, encoder, tensors, regions } = setUp(t, 3)
  const still = jobs.map((job, i) => ({
    ...job,
    task: { region: regions.input(tensors[i]!.merged), dtype: tensors[i]!.shape.dtype },
  }))
  await native.countStep({ encoder, tensors: still }, {})
  encoder.prepare()
  await rejects(t, () => native.encodeStep({ encoder, tensors: jobs }, {}), 'INPUT_CHANGED')
  await rejects(t, () => encoder.finish(), 'INVALID_ARGUMENT', /failed or was cancelled/)
})

test('NaN and infinity are refused with tensor and index', async (t) => {
  const { options, out } = setUp(t, 4)
  const shape = { name: 'v', dtype: 'F32' as const, rows: 1, columns: 5 }
  for (const [task, merged, operand] of [
    [Number.NaN, 0, 'task'],
    [Number.POSITIVE_INFINITY, 0, 'task'],
    [0, Number.NaN, 'merged'],
    [3e38, -3e38, 'task'],
  ] as const) {
    const encoder = new native.StepEncoder({ ...options, tensors: [shape], out: out.file, offset: 0 })
    const values = (x: number) => new Uint8Array(Float32Array.of(0, 0, 1, x, 0).buffer)
    const job = { ...shape, merged: values(merged), task: { region: values(task), dtype: 'F32' as const } }
    const error = await rejects(t, () => native.countStep({ encoder, tensors: [job] }, {}), 'NON_FINITE')
    t.is(error?.tensor, 'v')
    t.is(error?.index, 3)
    t.is(error?.operand, operand)
  }
})

test('damaged arrays are refused, or decode to something, and never crash', async (t) => {
  const random = seededRandom(5)
  const regions = regionMaker(t, random)
  const tensors = [33000, 500, 60, 7].map((size) => stepTensor(random, size, STEP, 0.7))
  const { arrays } = await runStepEncoder(regions, tensors, { step: STEP, deadZone: 0.65 })
  const shapes = tensors.map(({ shape }) => shape)
  const order = tensors.map((_, i) => i)
  let refused = 0
  for (let round = 0; round < 1500; round++) {
    const array = random.pick(['tables', 'directory', 'codes'] as const)
    let bytes = arrays[array].slice()
    const at = random.below(bytes.length)
    const kind = random.below(4)
    if (kind === 0) bytes = bytes.subarray(0, at)
    else if (kind === 1)
      bytes = Uint8Array.from([...bytes, ...new Uint8Array(random.below(20)).fill(random.below(2))])
    else bytes[at] = bytes[at]! ^ (kind === 2 ? 1 << random.below(8) : 1 + random.below(255))
    try {
      const coded = await openStep(regions, shapes, STEP, { ...arrays, [array]: bytes })
      await scatterStep(regions, coded, tensors, order, {})
    } catch (error) {
      refused++
      t.is((error as NativeError).code, 'PACK_INVALID', (error as NativeError).message)
    }
    regions.clear()
  }
  t.true(refused > 1000, `${refused} refused`)
})

test('lies about sizes are refused before memory is taken', async (t) => {
  const { regions, tensors } = setUp(t, 6)
  const { arrays } = await runStepEncoder(regions, tensors, { step: STEP, deadZone: 0.65 })
  const shape = { name: 'huge', dtype: 'BF16' as const, rows: 1, columns: 2 ** 53 - 1 }
  await rejects(t, () => openStep(regions, [shape, shape], STEP, arrays), 'PACK_INVALID')
  const short = tensors.slice(1).map(({ shape }) => shape)
  await rejects(t, () => openStep(regions, short, STEP, arrays), 'PACK_INVALID')
})
