import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { EMULATED_FOLDER, gpuEnvironment, runCli } from '../helpers/fake-gpu.js'
import { seededRandom } from '../helpers/random.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { treeDigest } from '../helpers/tree-digest.js'
import { writeModel } from '../helpers/write-model.js'

// The command line with the emulated GPU, which is a plug-in built for the CPU: nothing here ran on a GPU.
const linux = process.platform === 'linux' ? test.serial : test.serial.skip

test.before((t) => {
  if (process.platform === 'linux' && !existsSync(join(EMULATED_FOLDER, 'taskfold_cuda.so')))
    t.fail(`${EMULATED_FOLDER} is empty: run \`npm run build:emulated\` first`)
})

/** A base and two fine-tunes: three dtypes, more than one block, a head of its own. */
function models(t: ExecutionContext) {
  const folder = tempFolder(t)
  const write = (name: string, seed: number) => {
    const random = seededRandom(seed)
    // 16-bit patterns of both formats below 2, with signs, and no NaN.
    const halves = (count: number) =>
      Buffer.from(
        Uint16Array.from({ length: count }, () => random.below(0x4000) | (random.below(2) << 15)).buffer,
      )
    const values = (count: number) => Array.from({ length: count }, () => random.below(4001) / 1000 - 2)
    return writeModel(join(folder, name), {
      tensors: {
        'a.weight': { dtype: 'F32', shape: [300, 300], data: values(90000) },
        'b.weight': { dtype: 'BF16', shape: [70, 1000], data: halves(70000) },
        c: { dtype: 'F16', shape: [33], data: halves(33) },
        head: { dtype: 'F32', shape: [seed, 3], data: values(3 * seed) },
      },
      files: { 'config.json': '{"model_type":"vit"}' },
    })
  }
  const [base, one, two] = [write('base', 1), write('one', 2), write('two', 3)]
  const fold = ['fold', base, '--task', `one=${one}`, '--task', `two=${two}`]
  return { folder, base, one, two, fold, family: join(folder, 'family') }
}

linux('devices lists GPUs for people and for programs, and exits with 0', async (t) => {
  const env = gpuEnvironment({ TASKFOLD_EMULATED_DEVICES: '2' })
  const text = await runCli(['devices'], env)
  t.is(text.code, 0, text.err)
  t.regex(
    text.out,
    /^cuda:0 {2}Emulated GPU 0 .*268 MB of 268 MB free {2}compute capability 9\.0 {2}0000:00:00\.0$/m,
  )
  t.regex(text.out, /^cuda:1 {2}Emulated GPU 1 /m)
  t.regex(text.out, /^cuda {2}the driver knows CUDA up to 13\.0, taskfold is built with CUDA 13\.0$/m)
  const { cuda } = JSON.parse((await runCli(['devices', '--json'], env)).out)
  t.true(cuda.available)
  t.deepEqual([cuda.reason, cuda.hint, cuda.driverVersion, cuda.runtimeVersion], ['', null, '13.0', '13.0'])
  t.like(cuda.devices[1], {
    id: 'cuda:1',
    busId: '0000:01:00.0',
    computeCapability: '9.0',
    freeBytes: 2 ** 28,
  })
})

linux('devices says why there is no GPU, what helps, and exits with 0', async (t) => {
  const { code, out } = await runCli(['devices'], gpuEnvironment({ TASKFOLD_EMULATED_ERROR: '35' }))
  t.is(code, 0)
  t.regex(out, /^cuda {2}none: cudaGetDeviceCount: CUDA driver version is insufficient/m)
  t.regex(out, /^ {6}install NVIDIA driver 580 or newer/m)
  const crash = await runCli(
    ['devices', '--json'],
    gpuEnvironment({ TASKFOLD_EMULATED_CRASH: 'cudaGetDeviceCount' }),
  )
  t.is(crash.code, 0)
  const { cuda } = JSON.parse(crash.out)
  t.regex(cuda.reason, /was killed by SIG(SEGV|ABRT)/)
  t.is(typeof cuda.hint, 'string')
})

linux('fold and unfold on a GPU write the bytes that the CPU writes', async (t) => {
  const { folder, fold, family } = models(t)
  for (const scope of ['global', 'tensor']) {
    const cpu = await runCli(
      [...fold, '-o', `${family}-${scope}`, '--scope', scope, '--json'],
      gpuEnvironment(),
    )
    t.is(cpu.code, 0, cpu.out)
    t.like(JSON.parse(cpu.out), { device: 'cpu', deviceNote: null })
    const gpu = await runCli(
      [...fold, '-o', `${family}-${scope}-gpu`, '--scope', scope, '--device', 'cuda:0', '--json'],
      gpuEnvironment(),
    )
    t.is(gpu.code, 0, gpu.out)
    t.like(JSON.parse(gpu.out), { device: 'cuda:0', deviceNote: null })
    t.deepEqual(treeDigest(`${family}-${scope}-gpu`), treeDigest(`${family}-${scope}`))
  }
  const unfold = ['unfold', `${family}-global`, '--all', '--json', '-o']
  t.is((await runCli([...unfold, join(folder, 'cpu')], gpuEnvironment())).code, 0)
  const options = ['--device', 'cuda:0', '--gpu-memory', '64M']
  const gpu = await runCli([...unfold, join(folder, 'gpu'), ...options], gpuEnvironment())
  t.is(gpu.code, 0, gpu.out)
  t.deepEqual(
    JSON.parse(gpu.out).tasks.map((task: { device: string }) => task.device),
    ['cuda:0', 'cuda:0'],
  )
  t.deepEqual(treeDigest(join(folder, 'gpu')), treeDigest(join(folder, 'cpu')))
})

linux('auto takes a GPU that works', async (t) => {
  const { fold, family } = models(t)
  const env = gpuEnvironment({ TASKFOLD_EMULATED_DEVICES: '2' })
  const { code, out, err } = await runCli([...fold, '-o', family, '--device', 'auto', '--json'], env)
  t.is(code, 0, out)
  t.like(JSON.parse(out), { device: 'cuda:0,cuda:1', deviceNote: null })
  t.is(err, '')
})

linux('auto falls back to the CPU with exactly one line', async (t) => {
  const { folder, fold, family } = models(t)
  const faults: [name: string, value: string, reason: RegExp][] = [
    ['TASKFOLD_EMULATED_ERROR', '35', /driver version is insufficient/],
    ['TASKFOLD_EMULATED_CRASH', 'cudaGetDeviceCount', /was killed by/],
    ['TASKFOLD_EMULATED_ERROR', 'cudaHostAlloc=2', /out of memory/],
    ['TASKFOLD_CUDA', 'off', /turned off by TASKFOLD_CUDA=off/],
  ]
  for (const [i, [name, value, reason]] of faults.entries()) {
    const env = gpuEnvironment({ [name]: value })
    const text = await runCli([...fold, '-o', `${family}-${i}`, '--device', 'auto'], env)
    t.is(text.code, 0, text.err)
    t.regex(text.err, /^note: computing on the CPU: [^\n]+\n$/, value)
    t.regex(text.err, reason)
  }
  const env = gpuEnvironment({ TASKFOLD_EMULATED_ERROR: '35' })
  const all = ['unfold', `${family}-0`, '--all', '--device', 'auto', '-o']
  const unfolded = await runCli([...all, join(folder, 'text')], env)
  t.is(unfolded.code, 0, unfolded.err)
  t.is(unfolded.err.split('\n').length, 2, 'one line for both tasks')
  const json = await runCli([...all, join(folder, 'json'), '--json'], env)
  t.is(json.err, '')
  t.regex(JSON.parse(json.out).tasks[1].deviceNote, /^computing on the CPU: .*insufficient/)
  t.is((await runCli([...all, join(folder, 'quiet'), '--quiet'], env)).err, '')
})

linux('a GPU that was asked for and cannot be used ends the command', async (t) => {
  const { fold, family } = models(t)
  const old = await runCli(
    [...fold, '-o', family, '--device', 'cuda'],
    gpuEnvironment({ TASKFOLD_EMULATED_ERROR: '35' }),
  )
  t.is(old.code, 1)
  t.regex(
    old.err,
    /^error: CUDA cannot be used: .*insufficient.*\(DEVICE_UNAVAILABLE\)\nhint: install NVIDIA driver 580/,
  )
  const env = gpuEnvironment({ TASKFOLD_EMULATED_DEVICES: '2' })
  const absent = await runCli([...fold, '-o', family, '--device', 'cuda:7'], env)
  t.is(absent.code, 1)
  t.regex(
    absent.err,
    /there is no cuda:7: this machine has cuda:0 \(Emulated GPU 0 .*\), cuda:1 \(Emulated GPU 1 .*\)/,
  )
  const little = await runCli([...fold, '-o', family, '--device', 'cuda', '--gpu-memory', '1M'], env)
  t.is(little.code, 2)
  t.regex(little.err, /gpuMemory must be at least 67108864 bytes \(64 MiB\), got 1048576/)
  const cpu = await runCli([...fold, '-o', family, '--gpu-memory', '1G'], env)
  t.is(cpu.code, 2)
  t.regex(cpu.err, /gpuMemory needs a device/)
  t.false(existsSync(family))
  t.false(existsSync(`${family}.partial`))
})

linux('a GPU that fails in the middle leaves nothing behind', async (t) => {
  const { fold, family } = models(t)
  const env = gpuEnvironment({ TASKFOLD_EMULATED_ERROR: 'cudaStreamSynchronize=719@60' })
  const lost = await runCli([...fold, '-o', family, '--device', 'cuda', '--json'], env)
  t.is(lost.code, 1, lost.out)
  t.is(JSON.parse(lost.out).error.code, 'DEVICE_UNAVAILABLE')
  t.false(existsSync(family))
  t.false(existsSync(`${family}.partial`))
})

linux('lora extract and resize on a GPU agree with the CPU to rounding', async (t) => {
  const { folder, base, one } = models(t)
  const extract = ['lora', 'extract', base, one, '--rank', '4', '--json', '-o']
  const resize = ['lora', 'resize', join(folder, 'cpu'), '--rank', '2', '--json', '-o']
  for (const [args, name] of [
    [extract, 'cpu'],
    [resize, 'resized'],
  ] as const) {
    const cpu = await runCli([...args, join(folder, name)], gpuEnvironment())
    const gpu = await runCli([...args, join(folder, `${name}-gpu`), '--device', 'cuda:0'], gpuEnvironment())
    t.is(cpu.code, 0, cpu.out)
    t.is(gpu.code, 0, gpu.out)
    const [expected, found] = [JSON.parse(cpu.out), JSON.parse(gpu.out)]
    t.is(expected.device, 'cpu')
    t.is(found.device, 'cuda:0')
    t.is(found.layers.length, expected.layers.length)
    for (const [i, { singularValues }] of expected.layers.entries()) {
      for (const [j, value] of singularValues.entries()) {
        const other = found.layers[i].singularValues[j]
        t.true(Math.abs(other - value) <= 1e-3 * singularValues[0], `${name}: ${other} is not ${value}`)
      }
    }
  }
})
