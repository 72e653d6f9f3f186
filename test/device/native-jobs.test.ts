// The addon's jobs on emulated GPUs against the same jobs on the CPU: equal bytes, thresholds and errors.
import test from 'ava'
import type { NativeBinding, NativeDeviceSet, Operand } from '../../lib/binding/binding-types.js'
import { emulatedGpu } from '../helpers/emulated-gpu.js'
import { seededRandom } from '../helpers/random.js'
import { randomFloats, sprinkleNan, tunedFloats } from '../helpers/random-floats.js'
import { type NativeError, native } from '../kernels/addon.js'
import { differ, regionMaker } from '../kernels/regions.js'
import { decodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'

emulatedGpu(test, 2)

const MiB = 1 << 20
const open = (devices: number[], memoryBytes: number | null = 64 * MiB) =>
  native.openDevices({ devices, memoryBytes })

test.serial('GPUs are opened, described and closed', async (t) => {
  const set = await open([1, 0])
  t.deepEqual(set.devices, [1, 0])
  t.is(set.memoryBytes, 64 * MiB)
  set.close()
  set.close()
  const bytes = new Uint8Array(10)
  const error = t.throws(() => native.fingerprintRegions({ regions: [bytes] }, { device: set }))
  t.is((error as NativeError).code, 'INVALID_ARGUMENT')
  const all = await open([0], null)
  t.true(all.memoryBytes > 100 * MiB)
  all.close()
})

test.serial('what cannot be opened says why', async (t) => {
  const failure = async (devices: number[], memoryBytes: number | null) =>
    (await t.throwsAsync(open(devices, memoryBytes))) as NativeError
  t.like(await failure([7], null), {
    code: 'DEVICE_UNAVAILABLE',
    message: 'there is no cuda:7: this machine has 2 GPUs',
  })
  t.like(await failure([0, 0], null), { code: 'INVALID_ARGUMENT' })
  t.like(await failure([0], 5), { code: 'OUT_OF_MEMORY' })
  t.like(await failure([0], 2 ** 40), { code: 'OUT_OF_MEMORY' })
  for (const wrong of [
    undefined,
    {},
    { devices: 'cuda:0' },
    { devices: [-1] },
    { devices: [0.5] },
    { devices: [1e9] },
  ]) {
    t.is((t.throws(() => native.openDevices(wrong as never)) as NativeError).code, 'INVALID_ARGUMENT')
  }
  for (const device of [{}, 1, 'cuda:0', new native.CancelToken()]) {
    const error = t.throws(() => native.fingerprintRegions({ regions: [] }, { device } as never))
    t.is((error as NativeError).code, 'INVALID_ARGUMENT')
  }
})

/** What the jobs of a small fold give. */
async function foldOnce(
  t: Parameters<typeof regionMaker>[0],
  seed: number,
  control: { device?: NativeDeviceSet },
) {
  const random = seededRandom(seed)
  const regions = regionMaker(t, random)
  const dtype = FLOAT_DTYPES[seed % FLOAT_DTYPES.length]!
  const lambda = Math.fround(0.3)
  const size = FLOAT_FIELDS[dtype].bytes
  const tensors = [70000, 1, 300001].map((elements, i) => {
    const base = randomFloats(random, dtype, elements, 'normal')
    const tasks: Operand[] = [0, 1].map((task) => {
      const own = task === 1 ? 'F32' : dtype
      const few = random.chance(0.5)
      const tuned = tunedFloats(random, decodeFloats(dtype, base), own, { changed: 0.3, step: 0.1, few })
      return { region: regions.input(tuned), dtype: own }
    })
    const out = regions.output(elements * size)
    return { name: `t${i}`, elements, dtype, base: { region: regions.input(base), dtype }, tasks, out }
  })
  const elements = tensors.reduce((sum, x) => sum + x.elements, 0)
  const tasks = [0.02, 0.2].map((share) => ({ k: Math.round(share * elements), elements }))
  const selection = new native.Selection(tasks)
  const merges = tensors.map((x) => ({ ...x, out: x.out.region }))
  const fingerprints = await native.mergeTensors({ tensors: merges, lambda, selection }, control)
  const merged = tensors.map((x) => x.out.read())
  while (!selection.advance()) {
    const residuals = tensors.map((x, i) => ({ ...x, merged: merged[i]! }))
    await native.countResiduals({ tensors: residuals, selection }, control)
  }
  const thresholds = selection.thresholds()
  const results = []
  for (const [task, threshold] of thresholds.entries()) {
    const { file, read } = regions.file()
    const emits = tensors.map((x, i) => ({ ...x, task: x.tasks[task]!, merged: merged[i]! }))
    const index = task === 0 ? 'auto' : 'u16'
    const emitted = await native.emitDelta(
      { tensors: emits, threshold, index, out: file, offset: 0 },
      control,
    )
    const outs = tensors.map((x) => regions.output(x.elements * size))
    const range = (at: { offset: number; length: number }) => ({ file, ...at })
    const scatters = tensors.map((x, i) => {
      const { kept, index: code, value, indexBytes, blocks } = emitted.tensors[i]!
      const delta =
        kept === 0
          ? null
          : { kept, index: code, value: range(value), indexBytes: range(indexBytes), blocks: range(blocks) }
      return { name: x.name, elements: x.elements, dtype, merged: merged[i]!, delta, out: outs[i]!.region }
    })
    await native.scatterTensors({ tensors: scatters }, control)
    results.push({ emitted, delta: read(), restored: outs.map((out) => out.read()) })
  }
  return { fingerprints, thresholds, merged, results }
}

for (let seed = 0; seed < 5; seed++) {
  test.serial(`a fold on the GPUs gives the CPU's bytes, seed ${seed}`, async (t) => {
    const device = await open(seed % 2 === 0 ? [0, 1] : [1])
    const cpu = await foldOnce(t, seed, {})
    const gpu = await foldOnce(t, seed, { device })
    device.close()
    t.deepEqual(gpu.fingerprints, cpu.fingerprints)
    t.deepEqual(gpu.thresholds, cpu.thresholds)
    for (const [i, bytes] of cpu.merged.entries()) t.is(differ(gpu.merged[i]!, bytes), '')
    cpu.results.forEach((expected, task) => {
      const result = gpu.results[task]!
      t.deepEqual(result.emitted, expected.emitted)
      t.is(differ(result.delta, expected.delta), '')
      for (const [i, bytes] of expected.restored.entries()) t.is(differ(result.restored[i]!, bytes), '')
    })
  })
}

test.serial('a NaN is the same error', async (t) => {
  const random = seededRandom(9)
  const values = sprinkleNan(random, 'BF16', randomFloats(random, 'BF16', 100000, 'normal'))
  const base = randomFloats(random, 'BF16', 100000, 'normal')
  const device = await open([0])
  const merge = async (control: { device?: NativeDeviceSet }) => {
    const operand = (region: Uint8Array) => ({ region, dtype: 'BF16' as const })
    const tensor = { name: 'w', elements: 100000, dtype: 'BF16' as const, out: null }
    const tensors = [{ ...tensor, base: operand(base), tasks: [operand(base), operand(values)] }]
    return (await t.throwsAsync(native.mergeTensors({ tensors, lambda: 1 }, control))) as NativeError
  }
  const [cpu, gpu] = [await merge({}), await merge({ device })]
  t.is(cpu.code, 'NON_FINITE')
  for (const field of ['code', 'message', 'tensor', 'operand', 'index', 'hint'] as const) {
    t.deepEqual(gpu[field], cpu[field])
  }
  device.close()
})

test.serial('a GPU that falls off is a typed error, and the CPU goes on', async (t) => {
  const device = await open([0])
  const regions = [new Uint8Array(1000).fill(7)]
  const digest = (control: Parameters<NativeBinding['fingerprintRegions']>[1]) =>
    native.fingerprintRegions({ regions }, control)
  try {
    process.env.TASKFOLD_EMULATED_ERROR = 'cudaStreamSynchronize=719'
    t.like(await t.throwsAsync(digest({ device })), { code: 'DEVICE_UNAVAILABLE' })
  } finally {
    delete process.env.TASKFOLD_EMULATED_ERROR
  }
  t.like(await t.throwsAsync(digest({ device })), { code: 'DEVICE_UNAVAILABLE' })
  await t.notThrowsAsync(digest({}))
  device.close()
})
