import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { NativeCuda } from '../../../lib/binding/binding-types.js'
import {
  EMULATED_FOLDER,
  gpuEnvironment,
  probeChild,
  realPlugin,
  runSources,
} from '../../helpers/fake-gpu.js'

// One after the other: each starts two processes.
const linux = process.platform === 'linux' ? test.serial : test.serial.skip
const child = join(import.meta.dirname, '../../helpers/probe-child.ts')
const WAYS = ['sync', 'async'] as const

test.before((t) => {
  if (process.platform === 'linux' && !existsSync(join(EMULATED_FOLDER, 'libcuda.so.1')))
    t.fail(`${EMULATED_FOLDER} is empty: run \`npm run build:emulated\` first`)
})

/** Probes in a process of its own; this process's answer may not depend on it. */
async function probe(
  t: ExecutionContext,
  env: NodeJS.ProcessEnv,
  way: 'sync' | 'async' = 'sync',
  limit?: number,
): Promise<NativeCuda> {
  const args = limit === undefined ? [way] : [way, String(limit)]
  const { code, out, err } = await runSources(child, args, env)
  t.is(code, 0, err)
  const { first, same, mapped } = JSON.parse(out) as { first: NativeCuda; same: boolean; mapped: boolean }
  t.true(same, 'the answer is kept')
  t.false(mapped, 'the plug-in was not opened in the process that asked')
  t.is(first.available, first.reason === '')
  t.notRegex(first.reason, /\n/)
  return first
}

for (const way of WAYS) {
  linux(`a working GPU is described, ${way}`, async (t) => {
    const found = await probe(t, gpuEnvironment({ TASKFOLD_EMULATED_DEVICES: '2' }), way)
    t.deepEqual(
      found.devices.map(({ index, busId, computeCapability }) => [index, busId, computeCapability]),
      [
        [0, '0000:00:00.0', '9.0'],
        [1, '0000:01:00.0', '9.0'],
      ],
    )
    t.true(found.devices.every(({ freeBytes, memoryBytes }) => freeBytes > 0 && freeBytes <= memoryBytes))
    t.is(found.driverVersion, 13000)
  })

  linux(`a driver that crashes ends only the child, ${way}`, async (t) => {
    const { reason } = await probe(t, gpuEnvironment({ TASKFOLD_EMULATED_CRASH: 'cudaGetDeviceCount' }), way)
    t.regex(reason, /^a test process that started CUDA was killed by SIG(SEGV|ABRT) \(driver fault\)$/)
  })
}

linux('faults of the emulated plug-in come out with their text', (t) => {
  const faults: [fault: string, expected: RegExp][] = [
    ['35', /^cudaGetDeviceCount: CUDA driver version is insufficient/],
    ['100', /^no CUDA device$/],
    ['cudaSetDevice=46', /^CUDA device 0: cudaSetDevice/],
    ['cudaMemGetInfo=2', /^CUDA device 0: cudaMemGetInfo.*out of memory/],
  ]
  for (const [fault, expected] of faults) {
    t.regex(probeChild(gpuEnvironment({ TASKFOLD_EMULATED_ERROR: fault })).reason, expected)
  }
})

linux('plug-ins that do not fit are told apart', (t) => {
  const plugins: [file: string, expected: RegExp][] = [
    ['nowhere.so', /^CUDA plug-in not found: .*nowhere\.so$/],
    ['libcuda.so.1', /^not a taskfold CUDA plug-in: /],
    ['taskfold_cuda_other_version.so', /has interface version \d+, needed is \d+$/],
    ['taskfold_cuda_too_small.so', /^CUDA plug-in lacks a function: /],
  ]
  for (const [file, expected] of plugins) {
    t.regex(probeChild(gpuEnvironment({}, join(EMULATED_FOLDER, file))).reason, expected)
  }
})

linux('TASKFOLD_CUDA=off starts nothing', async (t) => {
  const env = gpuEnvironment({ TASKFOLD_CUDA: 'off', TASKFOLD_EMULATED_CRASH: 'cudaGetDeviceCount' })
  const { first } = JSON.parse((await runSources(child, ['sync'], env)).out) as { first: NativeCuda }
  t.is(first.reason, 'turned off by TASKFOLD_CUDA=off')
})

// No nvcc, no real plug-in.
const plugin = process.platform === 'linux' ? realPlugin() : undefined
const real = plugin === undefined ? test.serial.skip : test.serial
const realCases: [driver: string, expected: RegExp][] = [
  [
    'version=11040',
    /CUDA driver version is insufficient for CUDA runtime version \(cudaErrorInsufficientDriver\)$/,
  ],
  ['init=100', /^no CUDA device$/],
  ['init=2', /\(cudaErrorMemoryAllocation\)$/],
  ['init=34', /\(cudaErrorStubLibrary\)$/],
  ['init=46', /\(cudaErrorDevicesUnavailable\)$/],
  ['init=304', /\(cudaErrorOperatingSystem\)$/],
  ['init=802', /\(cudaErrorSystemNotReady\)$/],
  ['init=803', /\(cudaErrorSystemDriverMismatch\)$/],
  ['init=999', /\(cudaErrorUnknown\)$/],
  ['noisy init=304', /\(cudaErrorOperatingSystem\)$/],
  ['crash', /^a test process that started CUDA was killed by SIG(SEGV|ABRT) \(driver fault\)$/],
]
for (const [driver, expected] of realCases) {
  real(`NVIDIA's runtime with a driver that answers ${driver}`, async (t) => {
    const env = gpuEnvironment({ TASKFOLD_FAKE_DRIVER: driver }, plugin)
    const found = driver.startsWith('init=') ? probeChild(env) : await probe(t, env)
    t.regex(found.reason, expected)
    const version = /version=(\d+)/.exec(driver)?.[1]
    if (driver !== 'crash') t.is(found.driverVersion, Number(version ?? 13000))
  })
}

for (const way of WAYS) {
  real(`a driver that hangs is given up, ${way}`, async (t) => {
    const env = gpuEnvironment({ TASKFOLD_FAKE_DRIVER: 'hang' }, plugin)
    t.is((await probe(t, env, way, 2000)).reason, 'CUDA did not answer within 2 s')
  })
}
