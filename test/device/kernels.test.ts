import { join } from 'node:path'
import test from 'ava'
import { gpuEnvironment, runSources } from '../helpers/fake-gpu.js'

// With the emulated GPU, which is a plug-in built for the CPU: nothing here ran on a GPU.
const linux = process.platform === 'linux' ? test.serial : test.serial.skip
const child = join(import.meta.dirname, '../helpers/kernels-child.ts')

linux('the public kernels give the same bits on a GPU, and decompositions agree', async (t) => {
  const [cpu, gpu] = await Promise.all(
    ['cpu', 'cuda:0'].map(async (device) => {
      const { code, out, err } = await runSources(child, [device], gpuEnvironment())
      t.is(code, 0, err)
      return JSON.parse(out) as { device: string[]; equal: object; close: number[] }
    }),
  )
  t.deepEqual([cpu!.device, gpu!.device], [['cpu'], ['cuda:0']])
  t.deepEqual(gpu!.equal, cpu!.equal)
  t.is(gpu!.close.length, cpu!.close.length)
  for (const [i, value] of cpu!.close.entries()) {
    const difference = Math.abs(gpu!.close[i]! - value)
    t.true(difference <= 1e-4 * Math.abs(value) + 1e-6, `${i}: ${gpu!.close[i]} is not ${value}`)
  }
})
