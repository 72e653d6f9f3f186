import type { NativeBinding } from '../../lib/binding/binding-types.js'
import { native } from './addon.js'
import { hostileCodecCalls } from './hostile-codec-calls.js'
import type { regionMaker } from './regions.js'

const N = 100

/** One entry, and bytes behind it. */
function exchangeLayer() {
  const starts = new Uint8Array(BigUint64Array.of(0n, 1n).buffer)
  const [positions, values] = [new Uint8Array(2), new Uint8Array(2)]
  return { elements: N / 2, starts, positions, values, bytes: new Uint8Array(8), at: N }
}

/** Values that are wrong for (nearly) every field; made anew for each use. */
export const BAD: Record<string, () => unknown> = {
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

/** A native function, a job that it accepts, and what each field may be. */
export interface HostileCall {
  run: (job: never) => Promise<unknown>
  job: () => unknown
  /** Path of a field → the bad values that are legal there. */
  fields: Record<string, Allowed>
}

/**
 * Every job of the addon.
 *
 * @param regions - makes the files
 */
export function hostileCalls(regions: ReturnType<typeof regionMaker>): Record<string, HostileCall> {
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
  const floats = (n: number) => ({ region: new Uint8Array(4 * n), dtype: 'F32' })
  const product = () => ({ b: floats(6), a: floats(8), rank: 2, scale: 1, transposed: false })
  const productFields = (at: string): Record<string, Allowed> => ({
    [`${at}.products.0`]: [],
    [`${at}.products.0.b`]: [],
    [`${at}.products.0.b.region`]: [],
    [`${at}.products.0.a`]: [],
    [`${at}.products.0.a.dtype`]: [],
    [`${at}.products.0.rank`]: [],
    [`${at}.products.0.scale`]: ANY_NUMBER,
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
  const call = (
    name: keyof NativeBinding,
    job: () => unknown,
    fields: Record<string, Allowed>,
  ): HostileCall => ({
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
        'tensors.0.out': OPTIONAL,
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
    countEntries: call(
      'countEntries',
      () => ({
        tensors: [
          {
            name: 'w',
            elements: N,
            dtype: 'BF16',
            merged: bytes(),
            delta: delta(),
            starts: new Uint8Array(16),
          },
        ],
      }),
      { ...tensor, 'tensors.0.merged': [], 'tensors.0.delta': [], 'tensors.0.starts': [] },
    ),
    exchangeEntries: call(
      'exchangeEntries',
      () => ({
        tensors: [{ name: 'w', target: bytes(), itemSize: 2, layers: [exchangeLayer()] }],
      }),
      {
        tensors: ['empty list'],
        'tensors.0.name': ANY_TEXT,
        'tensors.0.target': [],
        'tensors.0.itemSize': [],
        'tensors.0.layers': ['empty list'],
        'tensors.0.layers.0.elements': [],
        'tensors.0.layers.0.starts': [],
        'tensors.0.layers.0.positions': [],
        'tensors.0.layers.0.values': [],
        'tensors.0.layers.0.bytes': [...OPTIONAL, 'short bytes', 'detached'],
        'tensors.0.layers.0.at': [],
      },
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
    truncateProducts: call(
      'truncateProducts',
      () => ({
        layers: [
          {
            ...{ name: 'w', rows: 3, columns: 4, products: [product()] },
            ...{ keep: 1, outB: floats(3), outA: floats(4) },
          },
        ],
        split: 'sqrt',
      }),
      {
        layers: ['empty list'],
        'layers.0': [],
        'layers.0.name': ANY_TEXT,
        'layers.0.rows': [],
        'layers.0.columns': [],
        'layers.0.products': [],
        ...productFields('layers.0'),
        'layers.0.keep': [],
        'layers.0.outB': [],
        'layers.0.outA': [],
        'layers.0.outA.region': [],
        split: [],
      },
    ),
    addProducts: call(
      'addProducts',
      () => ({
        tensors: [
          { name: 'w', rows: 3, columns: 4, base: floats(12), products: [product()], out: floats(12) },
        ],
      }),
      {
        tensors: ['empty list'],
        'tensors.0': [],
        'tensors.0.name': ANY_TEXT,
        'tensors.0.rows': [],
        'tensors.0.columns': [],
        'tensors.0.base': [],
        'tensors.0.products': ['empty list'],
        ...productFields('tensors.0'),
        'tensors.0.products.0.transposed': ['yes'],
        'tensors.0.out': [],
      },
    ),
    randomizedSvd: call(
      'randomizedSvd',
      () => ({
        ...{ name: 'w', rows: 3, columns: 4, matrix: floats(12), minus: floats(12), rank: 2, energy: 0.9 },
        ...{ oversample: 1, powerIters: 1, seed: 7, split: 'none', outB: floats(6), outA: floats(8) },
      }),
      {
        name: ANY_TEXT,
        rows: [],
        columns: [],
        matrix: [],
        'matrix.region': [],
        minus: OPTIONAL,
        rank: [],
        energy: [...OPTIONAL, 'fraction'],
        oversample: [],
        powerIters: [],
        seed: [],
        split: [],
        outB: [],
        outA: [],
      },
    ),
    scatterEntries: call(
      'scatterEntries',
      () => ({ target: bytes(), itemSize: 2, positions: Uint32Array.of(3), values: new Uint8Array(2) }),
      { target: [], itemSize: [], positions: [], values: [] },
    ),
    ...hostileCodecCalls(regions),
  }
}
