import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { type NativeError, native } from './addon.js'
import { BAD } from './hostile-calls.js'
import { codecTensor, codedShape, encoderOptions } from './hostile-codec-calls.js'
import { regionMaker } from './regions.js'

/** A TypeError or INVALID_ARGUMENT with a message that says something. */
function isArgumentError(error: unknown): boolean {
  if (!(error instanceof Error) || error.message.length <= 10) return false
  return error instanceof TypeError || (error as NativeError).code === 'INVALID_ARGUMENT'
}

async function thrown(use: () => unknown): Promise<unknown> {
  try {
    await use()
  } catch (error) {
    return error
  }
  return null
}

const encoderFields: Record<string, readonly string[]> = {
  step: ['fraction', 'huge'],
  deadZone: ['fraction'],
  tensors: ['empty list'],
  out: [],
  offset: [],
}

test('StepEncoder: wrong values for every option', async (t) => {
  const regions = regionMaker(t, seededRandom(1101))
  const make = (options: unknown) => new native.StepEncoder(options as never)
  t.notThrows(() => make(encoderOptions(regions)))
  for (const [kind, bad] of Object.entries(BAD)) {
    t.not(await thrown(() => make(bad())), null, `options = ${kind}`)
    for (const [field, allowed] of Object.entries(encoderFields)) {
      const error = await thrown(() => make({ ...encoderOptions(regions), [field]: bad() }))
      const refused = isArgumentError(error) || kind === 'throwing getters'
      t.is(error === null, allowed.includes(kind), `${field} = ${kind}: ${error}`)
      if (error !== null) t.true(refused, `${field} = ${kind}: ${error}`)
    }
    for (const field of ['name', 'dtype', 'rows', 'columns']) {
      const tensors = [{ ...codedShape(), [field]: bad() }]
      const error = await thrown(() => make({ ...encoderOptions(regions), tensors }))
      if (field === 'name' && ['text', 'empty text'].includes(kind)) t.is(error, null)
      else t.true(isArgumentError(error) || kind === 'throwing getters', `${field} = ${kind}: ${error}`)
    }
  }
  for (const step of [0, -1, 0.1, 1e-60, 1e39])
    t.true(isArgumentError(await thrown(() => make({ ...encoderOptions(regions), step }))), `step ${step}`)
  for (const deadZone of [0.49, 1.01, 1e30])
    t.true(isArgumentError(await thrown(() => make({ ...encoderOptions(regions), deadZone }))), `${deadZone}`)
  t.throws(() => (native.StepEncoder as unknown as () => void)(), undefined, 'without new')
})

test('StepEncoder: a file that is closed, or open for reading', async (t) => {
  const regions = regionMaker(t, seededRandom(1102))
  const path = join(regions.folder, 'read-only')
  writeFileSync(path, 'x')
  const reading = native.openFile(path, 'r')
  t.true(
    isArgumentError(await thrown(() => new native.StepEncoder({ ...encoderOptions(regions), out: reading }))),
  )
  reading.close()
  t.true(
    isArgumentError(await thrown(() => new native.StepEncoder({ ...encoderOptions(regions), out: reading }))),
  )
})

test('StepEncoder: passes in a wrong order and wrong tensors', async (t) => {
  const regions = regionMaker(t, seededRandom(1103))
  const encoder = new native.StepEncoder(encoderOptions(regions))
  const tensors = [codecTensor()]
  const refuse = async (use: () => unknown, what: string) => {
    const error = await thrown(use)
    t.true(isArgumentError(error), `${what}: ${error}`)
  }
  const count = (list = tensors) => native.countStep({ encoder, tensors: list }, {})
  const encode = (list = tensors) => native.encodeStep({ encoder, tensors: list }, {})
  await refuse(() => encoder.prepare(), 'prepare at once')
  await refuse(() => encoder.finish(), 'finish at once')
  await refuse(() => encode(), 'encode at once')
  await refuse(() => count([{ ...codecTensor(), name: 'v' }]), 'another name')
  await refuse(() => count([{ ...codecTensor(), rows: 4, columns: 25 }]), 'another shape')
  await refuse(() => count([...tensors, ...tensors]), 'a tensor too many')
  await count()
  await refuse(() => count(), 'count again')
  encoder.prepare()
  await refuse(() => encoder.prepare(), 'prepare again')
  await refuse(() => count([]), 'count after prepare')
  await refuse(() => encoder.finish(), 'finish before encode')
  await encode()
  await refuse(() => encode(), 'encode again')
  t.is((await encoder.finish()).kept, 0)
  await refuse(() => encoder.finish(), 'finish again')
  await refuse(() => encode([]), 'encode after finish')
  await refuse(() => encoder.prepare(), 'prepare after finish')
})

/** Long enough to be still running when the next line is reached. */
function longTensor() {
  const columns = 4 << 20
  const bytes = new Uint8Array(2 * columns)
  return { ...codedShape(), columns, task: { region: bytes, dtype: 'BF16' as const }, merged: bytes }
}

test('StepEncoder: two jobs at once, and a job that is cancelled', async (t) => {
  const regions = regionMaker(t, seededRandom(1104))
  const tensor = longTensor()
  const make = () => new native.StepEncoder({ ...encoderOptions(regions), tensors: [tensor] })
  const encoder = make()
  const job = { encoder, tensors: [tensor] }
  const running = native.countStep(job, {})
  for (const use of [
    () => native.countStep(job, {}),
    () => native.encodeStep(job, {}),
    () => encoder.prepare(),
    () => encoder.finish(),
  ])
    t.true(isArgumentError(await thrown(use)) || (await thrown(() => running)) === null)
  await running
  const both = await Promise.allSettled([0, 1].map(async () => native.countStep(job, {})))
  t.true(
    both.every(({ status }) => status === 'rejected'),
    'it has seen all its tensors',
  )

  const stopped = make()
  const cancel = new native.CancelToken()
  const stopping = native.countStep({ encoder: stopped, tensors: [tensor] }, { cancel })
  cancel.cancel()
  const error = (await thrown(() => stopping)) as NativeError | null
  if (error === null) return t.pass('it was faster')
  t.is(error.code, 'CANCELLED')
  // Before its first step a job leaves the encoder as it was; later ones break it for good.
  const after = await thrown(() => native.countStep({ encoder: stopped, tensors: [tensor] }, {}))
  t.true(after === null || isArgumentError(after), `${after}`)
})

test('encoders, histograms and coded tasks dressed as one another', async (t) => {
  const regions = regionMaker(t, seededRandom(1105))
  const encoder = new native.StepEncoder(encoderOptions(regions))
  const histogram = new native.Histogram({ lambdas: [1], tasks: 1, groups: 1 })
  const open = () =>
    native.openCodedTask(
      {
        ...{ codec: 'step', step: 1, tensors: [codedShape()] },
        ...{ tables: new Uint8Array(8), directory: new Uint8Array(8), codes: new Uint8Array(0) },
      },
      {},
    )
  const task = await open()
  const dressed = (object: object, as: object) =>
    Object.setPrototypeOf(object, Object.getPrototypeOf(as)) as never
  const scatter = (coded: unknown, tensor: unknown = 0, elements = 100, dtype = 'BF16') =>
    native.scatterTensors(
      {
        tensors: [
          {
            ...{ name: 'w', elements, dtype: dtype as 'BF16', merged: new Uint8Array(2 * elements) },
            ...{ out: new Uint8Array(2 * elements), delta: { coded, tensor } as never },
          },
        ],
      },
      {},
    )
  t.is(await thrown(() => scatter(task)), null)
  const CodedTask = task.constructor as new (...all: unknown[]) => unknown
  const lies: (() => unknown)[] = [
    () => native.countStep({ encoder: dressed(new native.CancelToken(), encoder), tensors: [] }, {}),
    () => native.countStep({ encoder: histogram as never, tensors: [] }, {}),
    () => native.countHistogram({ histogram: dressed(new native.CancelToken(), histogram), tensors: [] }, {}),
    () => native.countHistogram({ histogram: encoder as never, tensors: [] }, {}),
    () => encoder.prepare.call(histogram as never),
    () => encoder.finish.call(dressed(new native.CancelToken(), encoder)),
    () => histogram.bins.call(encoder as never, 0, 0, 0),
    () => histogram.sums.call({} as never, 0, 0, 0),
    () => task.close.call(dressed(new native.CancelToken(), task)),
    () => new CodedTask(),
    () => new CodedTask(task),
    () => scatter(dressed(new native.CancelToken(), task)),
    () => scatter(encoder),
    () => scatter(null),
    () => scatter(task, 1),
    () => scatter(task, -1),
    () => scatter(task, 2 ** 53 - 1),
    () => scatter(task, 0, 99),
    () => scatter(task, 0, 100, 'F16'),
  ]
  for (const [i, lie] of lies.entries()) {
    const error = await thrown(lie)
    t.true(isArgumentError(error), `lie ${i}: ${error}`)
  }
  task.close()
  task.close()
  t.true(isArgumentError(await thrown(() => scatter(task))), 'a closed task')
})

test('Histogram: wrong shapes and cells', async (t) => {
  const make = (shape: unknown) => new native.Histogram(shape as never)
  const good = { lambdas: [0.5, 1], tasks: 2, groups: 3 }
  for (const [kind, bad] of Object.entries(BAD)) {
    t.not(await thrown(() => make(bad())), null, `shape = ${kind}`)
    for (const field of Object.keys(good)) {
      const error = await thrown(() => make({ ...good, [field]: bad() }))
      t.true(isArgumentError(error) || kind === 'throwing getters', `${field} = ${kind}: ${error}`)
    }
  }
  for (const shape of [
    { ...good, tasks: 0 },
    { ...good, groups: 0 },
    { ...good, tasks: 2 ** 32, groups: 2 ** 32 },
    { ...good, tasks: 2 ** 31 },
    { ...good, lambdas: [0.1] },
    { ...good, lambdas: Array(1e6).fill(1) },
  ])
    t.true(isArgumentError(await thrown(() => make(shape))), JSON.stringify(shape).slice(0, 80))
  const histogram = make(good)
  for (const read of [histogram.bins, histogram.sums]) {
    for (const cell of [
      [],
      [0],
      [0, 0],
      [2, 0, 0],
      [0, 2, 0],
      [0, 0, 3],
      [-1, 0, 0],
      [0, 0.5, 0],
      ['0', 0, 0],
      [2 ** 53 - 1, 2 ** 52, 7],
    ]) {
      const error = await thrown(() => Reflect.apply(read, histogram, cell))
      t.true(isArgumentError(error), `${JSON.stringify(cell)}: ${error}`)
    }
  }
  t.deepEqual([...histogram.bins(1, 1, 2).counts], [])
})
