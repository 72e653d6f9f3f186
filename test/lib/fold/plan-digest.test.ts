import { join } from 'node:path'
import test from 'ava'
import { planFold } from '../../../lib/fold/fold-plan.js'
import { planDigest } from '../../../lib/fold/plan-digest.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { writeModel } from '../../helpers/write-model.js'

test('a fold that was stopped goes on with other threads or on another device, not with another density', async (t) => {
  const folder = tempFolder(t)
  const write = (name: string, value: number) =>
    writeModel(join(folder, name), { tensors: { w: { dtype: 'F32', shape: [2], data: [1, value] } } })
  const options = { base: write('base', 1), tasks: { a: write('a', 2) }, output: join(folder, 'family') }
  const digest = async (more: object) => planDigest(await planFold({ ...options, ...more }))
  const plain = await digest({})
  t.is(await digest({ device: 'cuda:3', gpuMemory: 2 ** 30, threads: 1, onDevice() {} }), plain)
  t.not(await digest({ density: 0.2 }), plain)
})
