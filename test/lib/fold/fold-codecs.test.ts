import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  type FoldOptions,
  fold,
  inspect,
  openFamily,
  readCheckpoint,
  readTensor,
  TaskfoldError,
  verify,
} from '../../../lib/index.js'
import { seededRandom } from '../../helpers/random.js'
import { runFoldChild } from '../../helpers/run-fold-child.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import type { TinyTensor } from '../../helpers/tiny-checkpoint.js'
import { treeDigest } from '../../helpers/tree-digest.js'
import { writeModel } from '../../helpers/write-model.js'

/** Matrices above and below a block, vectors, a scalar, an empty tensor, integers, heads; a task that lacks one. */
function family(t: ExecutionContext): FoldOptions & { folder: string; elements: number } {
  const folder = tempFolder(t)
  const shapes: Record<string, number[]> = {
    a: [300, 260],
    b: [40, 50],
    bias: [40],
    s: [],
    none: [0, 3],
    w: [2, 9],
  }
  const model = (name: string, seed: number, extra: Record<string, TinyTensor> = {}) => {
    const shared = seededRandom(1)
    const own = seededRandom(seed)
    const tensors: Record<string, TinyTensor> = {}
    for (const [key, shape] of Object.entries(shapes)) {
      const count = shape.reduce((product, extent) => product * extent, 1)
      const data = Float32Array.from(
        { length: count },
        () => shared.normal() + (seed > 0 ? 0.1 * own.normal() ** 3 : 0),
      )
      tensors[key] = { dtype: 'F32', shape, data: new Uint8Array(data.buffer) }
    }
    tensors.ids = { dtype: 'I64', shape: [1], data: [4] }
    if (seed === 2) delete tensors.w
    return writeModel(join(folder, name), {
      tensors: { ...tensors, ...extra },
      files: { 'config.json': '{}' },
    })
  }
  const head = (value: number): TinyTensor => ({ dtype: 'F32', shape: [3], data: [value, 2, 3] })
  return {
    folder,
    base: model('base', 0),
    tasks: [
      { name: 'one', path: model('one', 1, { head: head(1) }) },
      { name: 'two', path: model('two', 2, { head: head(9) }) },
    ],
    output: join(folder, 'family'),
    // w is missing in one task, so it is not merged.
    elements: 300 * 260 + 40 * 50 + 40 + 1,
  }
}

for (const targetBits of [0.3, 1, 4]) {
  test(`step at ${targetBits} bits: within the target, and as far off as it says`, async (t) => {
    const { elements, folder: _, ...options } = family(t)
    const { tasks } = await fold({ ...options, codec: 'step', targetBits, lambda: 'average' })
    for (const { codec, loss, kept } of tasks) {
      t.is(codec, 'step')
      t.true(loss!.bits <= targetBits && loss!.bits > 0.97 * targetBits, `${loss!.bits}`)
      t.true(kept! > 0 && kept! < elements)
    }
    const against = Object.fromEntries(
      (options.tasks as { name: string; path: string }[]).map(({ name, path }) => [name, path]),
    )
    const verified = await verify(options.output, { against })
    for (const [i, task] of verified.tasks.entries()) {
      const lost = Math.sqrt(1 - task.against!.retainedEnergy!)
      t.true(
        Math.abs(lost - tasks[i]!.loss!.relativeError) < 1e-3,
        `${lost} and ${tasks[i]!.loss!.relativeError}`,
      )
    }
    const found = (await inspect(options.output)) as { tasks: { stored: { streams: number } }[] }
    for (const { stored } of found.tasks) t.true(stored.streams <= (targetBits * elements) / 8 + 3 * 7)
  })
}

test('step: no entry is further off than its dead zone or half a step, other tensors are the originals', async (t) => {
  const { folder: _, elements: __, ...options } = family(t)
  const { tasks } = await fold({ ...options, codec: 'step', targetSize: 0.05 })
  const pack = await openFamily(options.output)
  t.teardown(() => pack.close())
  const floats = ({ data }: { data: Uint8Array }) => new Float32Array(Uint8Array.from(data).buffer)
  for (const [i, { name, path }] of (options.tasks as { name: string; path: string }[]).entries()) {
    const { step } = tasks[i]!.loss!
    for (const tensor of ['a', 'b', 'bias', 's']) {
      const original = await openOriginal(path, tensor)
      const unfolded = floats(await pack.tensor(tensor, { task: name }))
      const merged = await openOriginal(join(options.output, 'merged'), tensor)
      let worst = 0
      original.forEach((x, j) => {
        worst = Math.max(worst, Math.abs(x - unfolded[j]!))
        // What is not zero is a whole number of steps away from θ*.
        const steps = (unfolded[j]! - merged[j]!) / step
        if (Math.abs(steps - Math.round(steps)) > 1e-3) t.fail(`${tensor}[${j}] is ${steps} steps off`)
      })
      t.true(worst <= 0.66 * step, `${tensor}: ${worst / step} steps`)
    }
    t.deepEqual([...floats(await pack.tensor('head', { task: name }))], [i === 0 ? 1 : 9, 2, 3])
  }
  await t.throwsAsync(pack.tensor('w', { task: 'two' }), { code: 'NOT_FOUND' })
  t.truthy(await pack.tensor('w', { task: 'one' }))
})

async function openOriginal(path: string, tensor: string): Promise<Float32Array> {
  const { data } = await readTensor(await readCheckpoint(path), tensor)
  return new Float32Array(Uint8Array.from(data).buffer)
}

test('step: the same bytes for any number of threads', async (t) => {
  const { folder, elements: _, ...options } = family(t)
  const digests = []
  for (const threads of [1, 3]) {
    const output = join(folder, `threads-${threads}`)
    await fold({ ...options, output, threads, codec: 'step', targetBits: 0.7 })
    digests.push(treeDigest(output))
  }
  t.deepEqual(digests[0], digests[1])
})

test('step: killed at any record, the next run gives the same bytes', async (t) => {
  const { folder, elements: _, ...options } = family(t)
  const coding = { ...options, codec: 'step' as const, targetBits: 1 }
  const whole = join(folder, 'whole')
  await fold({ ...coding, output: whole })
  for (let record = 2; ; record++) {
    // Before and after a record in turn.
    const killAt = record % 2 === 0 ? record : -record
    const output = join(folder, `killed-${killAt}`)
    const { killed } = await runFoldChild({ ...coding, output }, killAt)
    if (!killed) {
      t.true(record > 6, `only ${record} records`)
      return
    }
    await fold({ ...coding, output })
    t.deepEqual(treeDigest(output), treeDigest(whole), `killed at ${killAt}`)
  }
})

for (const codec of ['sign', 'int4'] as const) {
  test(`${codec} comes nearer than nothing, and is what the manifest says`, async (t) => {
    const { folder: _, elements: __, ...options } = family(t)
    const { tasks } = await fold({ ...options, codec, density: 0.2, lambda: 'average' })
    t.deepEqual(
      tasks.map((task) => task.codec),
      [codec, codec],
    )
    const [first] = options.tasks as { name: string; path: string }[]
    const { tasks: verified } = await verify(options.output, { against: { [first!.name]: first!.path } })
    const energy = verified[0]!.against!.retainedEnergy!
    t.true(energy > 0.5 && energy < 1, `${energy}`)
  })
}

test('options that exclude each other are refused, each with a hint', async (t) => {
  const { folder: _, elements: __, ...options } = family(t)
  const wrong: [Partial<FoldOptions>, RegExp][] = [
    [{ codec: 'zip' as never }, /codec must be/],
    [{ codec: 'step', density: 0.1 }, /density is not for codec step/],
    [{ targetBits: 1 }, /targetBits is for codec step/],
    [{ codec: 'step', targetBits: 1, targetSize: 0.1 }, /exclude each other/],
    [{ codec: 'step', targetBits: 0 }, /above 0/],
    [{ codec: 'step', targetSize: Number.NaN }, /above 0/],
    [{ codec: 'step', deadZone: 0.4 }, /deadZone/],
    [{ codec: 'int4', nonFinite: 'keep' }, /cannot keep NaN/],
  ]
  for (const [options_, message] of wrong) {
    const error = await t.throwsAsync(fold({ ...options, ...options_ }), { instanceOf: TaskfoldError })
    t.regex(error!.message + error!.problems?.map((problem) => problem.message).join(), message)
  }
})

test('a target that tables alone exceed still gives a family; one that everything fits is used as far as it goes', async (t) => {
  const { folder, elements: _, ...options } = family(t)
  const least = await fold({ ...options, codec: 'step', targetBits: 1e-6 })
  for (const { kept } of least.tasks) t.is(kept, 0)
  await verify(options.output)
  const output = join(folder, 'most')
  const most = await fold({ ...options, output, codec: 'step', targetBits: 30 })
  for (const { loss } of most.tasks) t.true(loss!.relativeError < 1e-3, `${loss!.relativeError}`)
  await verify(output)
})
