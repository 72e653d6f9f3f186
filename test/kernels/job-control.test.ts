import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { JobControl, MergeTensor } from '../../lib/binding/binding-types.js'
import { seededRandom } from '../helpers/random.js'
import { KEEP_NOTHING, NAN_KEY } from '../reference/magnitude-select.js'
import { type NativeError, native } from './addon.js'
import { type RegionMaker, regionMaker } from './regions.js'

const GIB = 2 ** 30

/** A file that is all hole: gigabytes to read, no disk to fill. */
function sparse(t: ExecutionContext, regions: RegionMaker, bytes: number) {
  const path = join(regions.folder, `sparse-${bytes}.bin`)
  writeFileSync(path, '')
  truncateSync(path, bytes)
  const file = native.openFile(path, 'r')
  t.teardown(() => file.close())
  return file
}

function tensor(elements: number, region = new Uint8Array(2 * elements)): MergeTensor {
  const operand = { region, dtype: 'BF16' as const }
  return { name: 'w', elements, dtype: 'BF16', base: operand, tasks: [operand], out: null }
}

/** Every job, small. */
function smallJobs(regions: RegionMaker): Record<string, (control: JobControl) => Promise<unknown>> {
  const n = 70_000
  const bytes = new Uint8Array(2 * n)
  const merge = tensor(n)
  const selection = new native.Selection([{ k: 10, elements: n }])
  const task = { region: bytes, dtype: 'BF16' as const }
  const plain = { name: 'w', elements: n, dtype: 'BF16' as const, merged: bytes }
  const threshold = { key: KEEP_NOTHING, ties: 0 }
  const out = regions.file().file
  const floats = (length: number) => ({ region: new Uint8Array(4 * length), dtype: 'F32' as const })
  const product = { b: floats(800), a: floats(400), rank: 4, scale: 1 }
  return {
    mergeTensors: (control) => native.mergeTensors({ tensors: [merge], lambda: 1 }, control),
    sampleResiduals: (control) => native.sampleResiduals({ tensors: [merge], lambda: 1, selection }, control),
    countResiduals: (control) =>
      native.countResiduals({ tensors: [{ ...plain, tasks: [task] }], selection }, control),
    emitDelta: (control) =>
      native.emitDelta({ tensors: [{ ...plain, task }], threshold, index: 'auto', out, offset: 0 }, control),
    scatterTensors: (control) =>
      native.scatterTensors({ tensors: [{ ...plain, delta: null, out: new Uint8Array(2 * n) }] }, control),
    copyRegions: (control) =>
      native.copyRegions({ copies: [{ name: 'w', from: bytes, to: new Uint8Array(2 * n) }] }, control),
    compareTensors: (control) =>
      native.compareTensors({ tensors: [{ ...plain, delta: null, against: task }] }, control),
    fingerprintRegions: (control) => native.fingerprintRegions({ regions: [bytes] }, control),
    convertRegion: (control) =>
      native.convertRegion(
        { elements: n, from: task, to: { region: new Uint8Array(4 * n), dtype: 'F32' } },
        control,
      ),
    truncateProducts: (control) =>
      native.truncateProducts(
        {
          layers: [
            { name: 'w', rows: 200, columns: 100, products: [product], keep: null, outB: null, outA: null },
          ],
          split: 'sqrt',
        },
        control,
      ),
    addProducts: (control) =>
      native.addProducts(
        {
          tensors: [
            {
              ...{ name: 'w', rows: 200, columns: 100, base: floats(20_000), out: floats(20_000) },
              products: [{ ...product, transposed: false }],
            },
          ],
        },
        control,
      ),
    randomizedSvd: (control) =>
      native.randomizedSvd(
        {
          ...{
            name: 'w',
            rows: 200,
            columns: 100,
            matrix: floats(20_000),
            minus: null,
            rank: 3,
            energy: null,
          },
          ...{ oversample: 2, powerIters: 1, seed: 0, split: 'sqrt', outB: floats(600), outA: floats(300) },
        },
        control,
      ),
    selectEntries: (control) =>
      native.selectEntries({ elements: n, dtype: 'BF16', task, merged: null, k: 5 }, control),
  }
}

test.serial('a token that was cancelled before gives CANCELLED for every job', async (t) => {
  const cancel = new native.CancelToken()
  cancel.cancel()
  cancel.cancel()
  for (const [name, run] of Object.entries(smallJobs(regionMaker(t, seededRandom(901))))) {
    const error = await t.throwsAsync<NativeError>(async () => run({ cancel }), undefined, name)
    t.is(error.code, 'CANCELLED', name)
  }
})

test.serial('every job runs with 1, 2, 3, 7 and 64 threads and refuses other counts', async (t) => {
  for (const [name, run] of Object.entries(smallJobs(regionMaker(t, seededRandom(902))))) {
    for (const threads of [undefined, 1, 2, 3, 7, 64])
      await t.notThrowsAsync(run({ threads }), `${name}, ${threads}`)
    for (const threads of [0, -1, 1.5, Number.NaN, '2', {}]) {
      await t.throwsAsync(
        async () => run({ threads: threads as number }),
        undefined,
        `${name}, ${String(threads)}`,
      )
    }
  }
})

test.serial('cancel stops a long job at once', async (t) => {
  const regions = regionMaker(t, seededRandom(903))
  const bytes = 64 * GIB
  const region = { file: sparse(t, regions, bytes), offset: 0, length: bytes }
  const out = regions.file()
  const jobs: Record<string, (control: JobControl) => Promise<unknown>> = {
    fingerprintRegions: (control) => native.fingerprintRegions({ regions: [region] }, control),
    mergeTensors: (control) =>
      native.mergeTensors(
        {
          tensors: [
            {
              ...tensor(8),
              elements: bytes / 2,
              base: { region, dtype: 'BF16' },
              tasks: [{ region, dtype: 'BF16' }],
            },
          ],
          lambda: 1,
        },
        control,
      ),
    emitDelta: (control) =>
      native.emitDelta(
        {
          tensors: [
            {
              name: 'w',
              elements: bytes / 2,
              dtype: 'BF16',
              task: { region, dtype: 'BF16' },
              merged: region,
            },
          ],
          threshold: { key: NAN_KEY, ties: 0 },
          index: 'u16',
          out: out.file,
          offset: 0,
        },
        control,
      ),
  }
  for (const [name, run] of Object.entries(jobs)) {
    const cancel = new native.CancelToken()
    const job = run({ cancel })
    setTimeout(() => cancel.cancel(), 30)
    // 64 GiB take many seconds on any machine: settling at all within the test's time shows that it stopped early.
    const error = await t.throwsAsync<NativeError>(job, undefined, name)
    t.is(error.code, 'CANCELLED', name)
  }
})

test.serial('progress rises, stays within the bytes of the job, and ends with the promise', async (t) => {
  const regions = regionMaker(t, seededRandom(904))
  const length = GIB
  const region = { file: sparse(t, regions, length), offset: 0, length }
  const seen: number[] = []
  let settled = false
  const start = Date.now()
  const merge = tensor(8)
  await native.mergeTensors(
    {
      tensors: [
        {
          ...merge,
          elements: length / 2,
          base: { region, dtype: 'BF16' },
          tasks: [{ region, dtype: 'BF16' }],
        },
      ],
      lambda: 1,
    },
    {
      onProgress: (bytes) => {
        t.false(settled)
        seen.push(bytes)
      },
    },
  )
  settled = true
  const seconds = (Date.now() - start) / 1000
  await new Promise((resolve) => setTimeout(resolve, 120))
  t.true(seen.length > 0)
  t.true(seen.length <= 3 + 25 * seconds, `${seen.length} events in ${seconds} s`)
  t.deepEqual(
    seen,
    [...seen].sort((a, b) => a - b),
  )
  t.true(
    seen.every((bytes) => Number.isInteger(bytes) && bytes >= 0 && bytes <= 2 * length),
    `${seen}`,
  )
})

test.serial('a callback that throws does not break the job', async (t) => {
  const regions = regionMaker(t, seededRandom(905))
  const length = GIB / 2
  const region = { file: sparse(t, regions, length), offset: 0, length }
  const boom = new Error('from the callback')
  const caught: unknown[] = []
  const listener = (error: unknown) => caught.push(error)
  process.prependListener('uncaughtException', listener)
  const others = process.listeners('uncaughtException').filter((other) => other !== listener)
  for (const other of others) process.removeListener('uncaughtException', other)
  try {
    await native
      .fingerprintRegions(
        { regions: [region] },
        {
          onProgress: () => {
            throw boom
          },
        },
      )
      .catch((error: unknown) => caught.push(error))
    await new Promise((resolve) => setTimeout(resolve, 50))
  } finally {
    process.removeListener('uncaughtException', listener)
    for (const other of others) process.on('uncaughtException', other)
  }
  t.true(caught.every((error) => error === boom))
})

test.serial('many jobs at once give the same answers as one after the other', async (t) => {
  const random = seededRandom(906)
  const contents = Array.from({ length: 40 }, (_, i) =>
    Uint8Array.from({ length: 1000 * i }, () => random.u32()),
  )
  const alone: string[] = []
  for (const bytes of contents) alone.push(...(await native.fingerprintRegions({ regions: [bytes] }, {})))
  const together = await Promise.all(
    contents.map((bytes, i) => native.fingerprintRegions({ regions: [bytes] }, { threads: 1 + (i % 4) })),
  )
  t.deepEqual(together.flat(), alone)
})
