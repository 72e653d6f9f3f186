import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { type NativeError, native } from './addon.js'
import { regionMaker } from './regions.js'

test.serial('a selection in use is not pulled away from under its job', async (t) => {
  const elements = 8 << 20
  const values = new Float32Array(elements).map((_, i) => (i * 7919) % 104729)
  const operand = { region: new Uint8Array(values.buffer), dtype: 'F32' as const }
  const base = { region: new Uint8Array(values.byteLength), dtype: 'F32' as const }
  const tensors = [{ name: 'w', elements, dtype: 'F32' as const, base, tasks: [operand], out: null }]
  for (let round = 0; round < 5; round++) {
    const selection = new native.Selection([{ k: elements >> 3, elements }])
    const job = native.mergeTensors({ tensors, lambda: 0, selection }, { threads: 2 })
    for (let i = 0; i < 50; i++) {
      for (const disturb of [
        () => selection.advance(),
        () => selection.snapshot(),
        () => selection.thresholds(),
      ]) {
        try {
          await disturb()
        } catch (error) {
          t.is((error as NativeError).code, 'INVALID_ARGUMENT')
        }
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
    await job
  }
})

test.serial('arrays that change while a job reads them: any answer or an error, never a crash', async (t) => {
  const elements = 4 << 20
  const values = new Float32Array(elements)
  const region = new Uint8Array(values.buffer)
  const merged = new Uint8Array(region.length)
  const regions = regionMaker(t, seededRandom(907))
  for (let round = 0; round < 12; round++) {
    values.fill(1)
    const task = { region, dtype: 'F32' as const }
    const whole = { name: 'w', elements, dtype: 'F32' as const, task, merged }
    const job =
      round % 2 === 0
        ? native.selectEntries(
            { elements, dtype: 'F32', task, merged: null, k: elements >> 4 },
            { threads: 2 },
          )
        : native.emitDelta(
            {
              tensors: [whole],
              threshold: { key: 0x3f800000, ties: elements >> 4 },
              index: 'u16',
              out: regions.file().file,
              offset: 0,
            },
            { threads: 2 },
          )
    let running = true
    const settled = (job as Promise<unknown>)
      .catch((error: NativeError) => error)
      .finally(() => {
        running = false
      })
    for (let i = 0; running; i++) {
      values.fill(i % 2 === 0 ? 2 : 1)
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.truthy(await settled)
    regions.clear()
  }
})
