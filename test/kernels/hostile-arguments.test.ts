import test from 'ava'
import { seededRandom } from '../helpers/random.js'
import { type NativeError, native } from './addon.js'
import { BAD, hostileCalls } from './hostile-calls.js'
import { regionMaker } from './regions.js'

function replaced(job: unknown, path: string, value: unknown): unknown {
  const keys = path.split('.')
  const last = keys.pop()!
  let at = job as Record<string, unknown>
  for (const key of keys) at = at[key] as Record<string, unknown>
  at[last] = value
  return job
}

for (const name of Object.keys(hostileCalls({} as never))) {
  test.serial(`${name}: a dozen wrong values for every field`, async (t) => {
    const regions = regionMaker(t, seededRandom(1001))
    const { run, job, fields } = hostileCalls(regions)[name]!
    await t.notThrowsAsync(run(job() as never), 'the good job')
    for (const [path, allowed] of Object.entries(fields)) {
      for (const [kind, make] of Object.entries(BAD)) {
        const bad = replaced(job(), path, make())
        try {
          await run(bad as never)
          t.true(allowed.includes(kind), `${path} = ${kind} was accepted`)
        } catch (error) {
          const { code, message } = error as NativeError
          t.true(error instanceof Error, `${path} = ${kind}`)
          t.true(message.length > 10, `${path} = ${kind}: ${message}`)
          const expected = ['INVALID_ARGUMENT', 'PACK_INVALID', 'FILE_TRUNCATED', 'NON_FINITE']
          const own = kind === 'throwing getters'
          t.true(
            own || error instanceof TypeError || expected.includes(code!),
            `${path} = ${kind}: ${code} ${message}`,
          )
        }
      }
      regions.clear()
    }
  })

  test.serial(`${name}: jobs and controls that are no objects`, async (t) => {
    const regions = regionMaker(t, seededRandom(1002))
    const { job } = hostileCalls(regions)[name]!
    const run = native[name as 'copyRegions'] as (...all: unknown[]) => Promise<unknown>
    await t.throwsAsync(async () => run(), undefined, 'no arguments')
    for (const [kind, make] of Object.entries(BAD)) {
      await t.throwsAsync(async () => run(make(), {}), undefined, `job = ${kind}`)
    }
    for (const control of ['cancel', 'onProgress', 'threads']) {
      for (const kind of ['text', 'object', 'yes', 'empty list', 'nan', 'foreign object']) {
        await t.throwsAsync(
          async () => run(job(), { [control]: BAD[kind]!() }),
          undefined,
          `${control} = ${kind}`,
        )
      }
    }
  })
}

test.serial(
  'a getter that closes the file, shared and growing buffers: an answer or an error, never a crash',
  async (t) => {
    const regions = regionMaker(t, seededRandom(1003))
    const { file } = regions.input(new Uint8Array(4096), 'file') as {
      file: ReturnType<typeof native.openFile>
    }
    const tricky = {
      file,
      offset: 0,
      get length() {
        file.close()
        return 4096
      },
    }
    const Growing = ArrayBuffer as unknown as new (n: number, o: { maxByteLength: number }) => ArrayBuffer
    for (const region of [
      tricky,
      new Uint8Array(new SharedArrayBuffer(4096)),
      new Uint8Array(new Growing(4096, { maxByteLength: 8192 })),
    ]) {
      const result = await Promise.resolve()
        .then(() => native.fingerprintRegions({ regions: [region as Uint8Array] }, {}))
        .catch((error: unknown) => error)
      t.true(Array.isArray(result) || result instanceof Error)
    }
  },
)

test.serial('an object of one class dressed as another is refused', async (t) => {
  const regions = regionMaker(t, seededRandom(1005))
  const { file } = regions.file()
  const token = new native.CancelToken()
  const selection = new native.Selection([{ k: 1, elements: 4 }])
  const dressed = (object: object, as: object) =>
    Object.setPrototypeOf(object, Object.getPrototypeOf(as)) as never
  const bytes = new Uint8Array(16)
  const tensors = [
    {
      name: 'w',
      elements: 4,
      dtype: 'F32' as const,
      merged: bytes,
      tasks: [{ region: bytes, dtype: 'F32' as const }],
    },
  ]
  const disguises: (() => unknown)[] = [
    () =>
      native.fingerprintRegions({ regions: [bytes] }, { cancel: dressed(new native.Selection([]), token) }),
    () => native.countResiduals({ tensors, selection: dressed(new native.CancelToken(), selection) }, {}),
    () =>
      native.countResiduals({ tensors, selection: dressed(native.openFile(file.path, 'r'), selection) }, {}),
    () => native.syncFile(dressed(new native.CancelToken(), file)),
    () =>
      native.fingerprintRegions(
        { regions: [{ file: dressed(new native.Selection([]), file), offset: 0, length: 0 }] },
        {},
      ),
    () => selection.advance.call(token),
    () => selection.snapshot.call(dressed(new native.CancelToken(), selection)),
    () => file.close.call(dressed(new native.CancelToken(), file)),
    () => token.cancel.call(dressed(new native.Selection([]), token)),
    () => token.cancel.call({} as never),
  ]
  for (const [i, disguise] of disguises.entries()) {
    await t.throwsAsync(async () => await disguise(), undefined, `disguise ${i}`)
  }
})

test.serial('devices and setSimdTarget', (t) => {
  const { cpu } = native.devices()
  const cuda = native.probeCuda(false)
  t.true(cpu.simdAvailable.includes(cpu.simd))
  t.true(cpu.threads >= 1)
  t.is(typeof cuda.reason, 'string')
  for (const bad of ['', 'AVX1024', '__proto__', null, 7, undefined, 'avx2\0']) {
    t.throws(() => native.setSimdTarget(bad as string), undefined, String(bad))
  }
  t.is(native.devices().cpu.simd, cpu.simd, 'a refused name changes nothing')
})

test.serial('files: wrong arguments', async (t) => {
  const regions = regionMaker(t, seededRandom(1004))
  for (const path of [undefined, null, 7, {}, '', 'a\0b', `${regions.folder}/no/such/folder/x`]) {
    for (const flags of ['r', 'w'])
      t.throws(() => native.openFile(path as string, flags as 'r'), undefined, String(path))
  }
  for (const flags of ['', 'rw', 'a', undefined, 7]) {
    t.throws(() => native.openFile(`${regions.folder}/x`, flags as 'r'), undefined, String(flags))
  }
  t.throws(() => native.openFile(regions.folder, 'r'), undefined, 'a folder')
  const { file } = regions.file()
  for (const size of [-1, 0.5, Number.NaN, 2 ** 60, '5', undefined]) {
    await t.throwsAsync(async () => native.allocateFile(file, size as number), undefined, String(size))
  }
  for (const other of [undefined, null, {}, 7]) {
    await t.throwsAsync(async () => native.allocateFile(other as never, 5))
    await t.throwsAsync(async () => native.syncFile(other as never))
  }
})
