import { join } from 'node:path'
import test from 'ava'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { openFamily } from '../../lib/materialize/open-family.js'
import { emulatedGpu } from '../helpers/emulated-gpu.js'
import { differences, openSample } from '../helpers/loaded-models.js'
import { seededRandom } from '../helpers/random.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { callsTakeTurns } from '../helpers/wanted-tensors.js'
import { foldWritten, writeFamily } from '../property/check-family.js'
import { familyCase } from '../property/random-settings.js'

const device = 'cuda:0'

emulatedGpu(test)

for (let seed = 1; seed <= 8; seed++) {
  const { family: inputs, settings, label } = familyCase(seed)
  test.serial(`random switches give each task's tensors: ${label}`, async (t) => {
    const folder = tempFolder(t)
    const output = join(folder, 'family')
    await foldWritten(writeFamily(folder, inputs), output, inputs, settings)
    const family = await openFamily(output)
    const random = seededRandom(seed)
    const model = await family.load(random.pick(family.tasks), { device })
    t.deepEqual(await differences(family, model), [])
    for (let step = 0; step < 5; step++) {
      await model.switchTo(random.chance(0.25) ? null : random.pick(family.tasks))
      t.deepEqual(await differences(family, model), [], `step ${step}, ${model.task}`)
    }
    await model.close()
  })
}

test.serial('all kinds, both index codes, all dtypes, there and back', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { device, preload: true })
  t.is(model.device, 'cuda:0')
  t.deepEqual([...model.loadedTasks].sort(), ['one', 'two'])
  const pointers = new Map([...model.tensors].map(([name, { pointer }]) => [name, pointer]))
  for (const task of ['one', 'two', null, 'one', null, 'two', 'one']) {
    await model.switchTo(task)
    t.is(model.task, task)
    t.deepEqual(await differences(family, model), [], String(task))
  }
  for (const [name, { pointer, offset }] of model.tensors) {
    t.is(pointer, pointers.get(name)!, name)
    t.is(offset === null, ['a.value', 'head', 'mask'].includes(name), name)
  }
  t.is(model.tensors.get('tied')!.pointer, model.tensors.get('table')!.pointer)
  await model.close()
})

test.serial('θ* itself, and a task that is entered twice', async (t) => {
  const family = await openSample(tempFolder(t))
  await using model = await family.load(null, { device: 'auto' })
  t.is(model.task, null)
  t.deepEqual(model.loadedTasks, [])
  t.deepEqual(await differences(family, model), [])
  await model.switchTo('two')
  const bytes = model.bytes
  await model.switchTo('two')
  t.is(model.bytes, bytes)
  t.deepEqual(await differences(family, model), [])
})

test.serial('calls at once run one after the other', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { device })
  await callsTakeTurns(t, family, model)
})

test.serial('handles and DLPack addresses', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { device })
  const { handle, taskHandle, tensors, task } = await model.ipcHandle()
  t.deepEqual([handle.length, taskHandle?.length, task], [64, 64, 'one'])
  t.deepEqual([...tensors.keys()], [...model.tensors.keys()])
  t.like(tensors.get('head'), { dtype: 'F16', memory: 'task', byteLength: 6 })
  t.like(tensors.get('table'), { dtype: 'BF16', memory: 'model', offset: model.tensors.get('table')!.offset })
  t.true(model.dlpack('a') !== 0n)
  const [one, two] = [model.dlpack('head'), model.dlpack('head')]
  t.true(one !== two, 'each is taken over by somebody')
  const error = t.throws(() => model.dlpack('constructor'), { instanceOf: TaskfoldError })
  t.is(error.code, 'NOT_FOUND')
  await model.switchTo('two')
  t.is((await model.ipcHandle()).taskHandle, null)
  await model.close()
})

test.serial('close is idempotent, ends what runs first, and refuses what comes later', async (t) => {
  const family = await openSample(tempFolder(t))
  const model = await family.load('one', { device })
  const running = model.switchTo('two')
  await Promise.all([model.close(), model.close()])
  await running
  await model[Symbol.asyncDispose]()
  t.deepEqual([model.task, model.bytes, model.tensors.size, model.loadedTasks.length], [null, 0, 0, 0])
  for (const call of [() => model.switchTo('one'), () => model.read('a'), () => model.ipcHandle()]) {
    const error = await t.throwsAsync(call, { instanceOf: TaskfoldError })
    t.is(error.code, 'INVALID_ARGUMENT')
    t.regex(error.message, /this model was closed/)
  }
  t.throws(() => model.dlpack('a'), { code: 'INVALID_ARGUMENT' })
})
