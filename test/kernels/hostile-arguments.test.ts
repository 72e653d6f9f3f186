import test from 'ava'
import type { NativeBinding } from '../../lib/binding/binding-types.js'
import { seededRandom } from '../helpers/random.js'
import { type NativeError, native } from './addon.js'
import { regionMaker } from './regions.js'

const N = 100

/** Values that are wrong for (nearly) every field; made anew for each use. */
const BAD: Record<string, () => unknown> = {
  undefined: () => undefined,
  null: () => null,
  minus: () => -1,
  fraction: () => 0.5,
  nan: () => Number.NaN,
  infinity: () => Number.POSITIVE_INFINITY,
  huge: () => 2 ** 53,
  'beyond int64': () => 1e300,
  text: () => 'text',
  'empty text': () => '',
  'empty list': () => [],
  'list of null': () => [null],
  'list of lists': () => [[]],
  object: () => ({}),
  yes: () => true,
  symbol: () => Symbol('x'),
  bigint: () => 10n,
  function: () => () => 0,
  date: () => new Date(0),
  'short bytes': () => new Uint8Array(1),
  floats: () => new Float32Array(N),
  view: () => new DataView(new ArrayBuffer(4)),
  buffer: () => new ArrayBuffer(4),
  detached: () => {
    const bytes = new Uint8Array(2 * N)
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    return bytes
  },
  'throwing getters': () =>
    new Proxy(
      {},
      {
        get() {
          throw new RangeError('from a getter')
        },
      },
    ),
  'foreign object': () => Object.create(native.CancelToken.prototype),
  'file without substance': () => ({ file: {}, offset: 0, length: 2 * N }),
  'range without file': () => ({ offset: 0, length: 2 * N }),
}

/** What a field may be besides its good value; everything else must be refused. */
type Allowed = readonly string[]

const OPTIONAL: Allowed = ['undefined', 'null']
const ANY_TEXT: Allowed = ['text', 'empty text']
const ANY_NUMBER: Allowed = ['minus', 'fraction', 'huge']

interface Call {
  run: (job: never) => Promise<unknown>
  job: () => unknown
  /** Path of a field → the bad values that are legal there. */
  fields: Record<string, Allowed>
}

function calls(regions: ReturnType<typeof regionMaker>): Record<string, Call> {
  const bytes = () => new Uint8Array(2 * N)
  const operand = () => ({ region: bytes(), dtype: 'BF16' })
  const inFile = () => regions.input(new Uint8Array(2 * N), 'file')
  const merge = () => ({
    name: 'w',
    elements: N,
    dtype: 'BF16',
    base: operand(),
    tasks: [operand()],
    out: bytes(),
  })
  const residual = () => ({ name: 'w', elements: N, dtype: 'BF16', merged: bytes(), tasks: [operand()] })
  const selection = () => new native.Selection([{ k: 5, elements: N }])
  const delta = () => ({
    kept: 1,
    index: 'u16',
    blocks: new Uint8Array([0, 0, 0, 0, 1, 0, 0, 0]),
    indexBytes: new Uint8Array(2),
    value: new Uint8Array(2),
  })
  const tensor: Record<string, Allowed> = {
    tensors: ['empty list'],
    'tensors.0': [],
    'tensors.0.name': ANY_TEXT,
    'tensors.0.elements': [],
    'tensors.0.dtype': [],
  }
  const tasks: Record<string, Allowed> = {
    'tensors.0.tasks.0': [],
    'tensors.0.tasks.0.region': [],
    'tensors.0.tasks.0.dtype': [],
  }
  const base: Record<string, Allowed> = {
    'tensors.0.base': [],
    'tensors.0.base.region': [],
    'tensors.0.base.dtype': [],
  }
  const call = (name: keyof NativeBinding, job: () => unknown, fields: Record<string, Allowed>): Call => ({
    run: (value) => (native[name] as (job: unknown, control: object) => Promise<unknown>)(value, {}),
    job,
    fields,
  })
  return {
    mergeTensors: call(
      'mergeTensors',
      () => ({ tensors: [merge()], lambda: 1, selection: selection(), nonFinite: 'keep' }),
      {
        ...tensor,
        ...tasks,
        ...base,
        'tensors.0.out': OPTIONAL,
        lambda: ANY_NUMBER,
        selection: OPTIONAL,
        nonFinite: OPTIONAL,
      },
    ),
    sampleResiduals: call(
      'sampleResiduals',
      () => ({ tensors: [merge()], lambda: 1, selection: selection() }),
      { ...tensor, ...tasks, ...base, lambda: ANY_NUMBER, selection: [] },
    ),
    countResiduals: call(
      'countResiduals',
      () => ({ tensors: [residual()], selection: selection(), nonFinite: 'error' }),
      { ...tensor, ...tasks, 'tensors.0.merged': [], selection: [], nonFinite: OPTIONAL },
    ),
    emitDelta: call(
      'emitDelta',
      () => ({
        tensors: [{ name: 'w', elements: N, dtype: 'BF16', task: operand(), merged: inFile() }],
        threshold: { key: 0, ties: 3 },
        index: 'auto',
        out: regions.file().file,
        offset: 0,
      }),
      {
        ...tensor,
        'tensors.0.task': [],
        'tensors.0.merged': [],
        'tensors.0.merged.file': [],
        'tensors.0.merged.offset': [],
        'tensors.0.merged.length': [],
        threshold: [],
        'threshold.key': [],
        'threshold.ties': ['huge'],
        index: [],
        out: [],
        offset: [],
      },
    ),
    scatterTensors: call(
      'scatterTensors',
      () => ({
        tensors: [{ name: 'w', elements: N, dtype: 'BF16', merged: bytes(), delta: delta(), out: bytes() }],
      }),
      {
        ...tensor,
        'tensors.0.merged': [],
        'tensors.0.delta': OPTIONAL,
        'tensors.0.delta.kept': [],
        'tensors.0.delta.index': [],
        'tensors.0.delta.blocks': [],
        'tensors.0.delta.indexBytes': [],
        'tensors.0.delta.value': [],
        'tensors.0.out': [],
      },
    ),
    compareTensors: call(
      'compareTensors',
      () => ({
        tensors: [
          { name: 'w', elements: N, dtype: 'BF16', merged: bytes(), delta: delta(), against: operand() },
        ],
      }),
      { ...tensor, 'tensors.0.merged': [], 'tensors.0.against': [], 'tensors.0.against.region': [] },
    ),
    copyRegions: call('copyRegions', () => ({ copies: [{ name: 'w', from: bytes(), to: bytes() }] }), {
      copies: ['empty list'],
      'copies.0': [],
      'copies.0.name': ANY_TEXT,
      'copies.0.from': [],
      'copies.0.to': [],
    }),
    fingerprintRegions: call('fingerprintRegions', () => ({ regions: [bytes()] }), {
      regions: ['empty list'],
      'regions.0': ['short bytes', 'detached'],
    }),
    convertRegion: call(
      'convertRegion',
      () => ({ elements: N, from: operand(), to: { region: new Uint8Array(4 * N), dtype: 'F32' } }),
      {
        elements: [],
        from: [],
        'from.region': [],
        'from.dtype': [],
        to: [],
        'to.region': [],
        'to.dtype': [],
      },
    ),
    selectEntries: call(
      'selectEntries',
      () => ({ elements: N, dtype: 'BF16', task: operand(), merged: null, k: 3 }),
      { elements: [], dtype: [], task: [], 'task.region': [], merged: OPTIONAL, k: [] },
    ),
    scatterEntries: call(
      'scatterEntries',
      () => ({ target: bytes(), itemSize: 2, positions: Uint32Array.of(3), values: new Uint8Array(2) }),
      { target: [], itemSize: [], positions: [], values: [] },
    ),
  }
}

function replaced(job: unknown, path: string, value: unknown): unknown {
  const keys = path.split('.')
  const last = keys.pop()!
  let at = job as Record<string, unknown>
  for (const key of keys) at = at[key] as Record<string, unknown>
  at[last] = value
  return job
}

for (const name of Object.keys(calls({} as never))) {
  test.serial(`${name}: a dozen wrong values for every field`, async (t) => {
    const regions = regionMaker(t, seededRandom(1001))
    const { run, job, fields } = calls(regions)[name]!
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
    const { job } = calls(regions)[name]!
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
  const { cpu, cuda } = native.devices()
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
