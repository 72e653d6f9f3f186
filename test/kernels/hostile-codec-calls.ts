import type { NativeBinding } from '../../lib/binding/binding-types.js'
import { native } from './addon.js'
import type { HostileCall } from './hostile-calls.js'
import type { RegionMaker } from './regions.js'

const N = 100

/** One tensor that an encoder expects. */
export function codedShape() {
  return { name: 'w', dtype: 'BF16' as const, rows: 1, columns: N }
}

/** The same with its operands: θt = θ*. */
export function codecTensor() {
  const bytes = () => new Uint8Array(2 * N)
  return { ...codedShape(), task: { region: bytes(), dtype: 'BF16' as const }, merged: bytes() }
}

/** Options of an encoder for {@link codedShape} that writes to a new file. */
export function encoderOptions(regions: RegionMaker) {
  return { step: 0.5, deadZone: 0.65, tensors: [codedShape()], out: regions.file().file, offset: 0 }
}

/** Jobs of stream codecs and histograms, as hostile-calls.ts has those of other kernels. */
export function hostileCodecCalls(regions: RegionMaker): Record<string, HostileCall> {
  const call = (name: keyof NativeBinding, rest: Omit<HostileCall, 'run'>): HostileCall => ({
    run: (value) => (native[name] as (job: unknown, control: object) => Promise<unknown>)(value, {}),
    ...rest,
  })
  const pass = () => ({ encoder: new native.StepEncoder(encoderOptions(regions)), tensors: [codecTensor()] })
  const passFields: HostileCall['fields'] = {
    encoder: [],
    tensors: ['empty list'],
    'tensors.0': [],
    'tensors.0.name': [],
    'tensors.0.dtype': [],
    'tensors.0.rows': [],
    'tensors.0.columns': [],
    'tensors.0.task': [],
    'tensors.0.task.region': [],
    'tensors.0.task.dtype': [],
    'tensors.0.merged': [],
  }
  const encode = call('encodeStep', { job: pass, fields: passFields })
  return {
    openCodedTask: call('openCodedTask', {
      job: () => ({
        ...{ codec: 'step', step: 1, tensors: [codedShape()] },
        ...{ tables: new Uint8Array(8), directory: new Uint8Array(8), codes: new Uint8Array(0) },
      }),
      fields: {
        codec: [],
        step: ['fraction', 'huge'],
        tensors: [],
        'tensors.0': [],
        'tensors.0.name': ['text', 'empty text'],
        'tensors.0.dtype': [],
        'tensors.0.rows': [],
        'tensors.0.columns': [],
        // A zero says that there is nothing.
        tables: ['short bytes'],
        directory: ['short bytes'],
        codes: ['detached'],
      },
    }),
    countStep: call('countStep', { job: pass, fields: passFields }),
    encodeStep: {
      ...encode,
      async run(value) {
        const { encoder } = value as ReturnType<typeof pass>
        if (encoder instanceof native.StepEncoder) {
          await native.countStep({ encoder, tensors: [codecTensor()] }, {})
          encoder.prepare()
        }
        return encode.run(value)
      },
    },
    countHistogram: call('countHistogram', {
      job: () => ({
        histogram: new native.Histogram({ lambdas: [1], tasks: 1, groups: 1 }),
        tensors: [
          {
            ...{ name: 'w', elements: N, dtype: 'BF16', base: null, merged: new Uint8Array(2 * N), group: 0 },
            tasks: [{ region: new Uint8Array(2 * N), dtype: 'BF16' }],
          },
        ],
      }),
      fields: {
        histogram: [],
        tensors: ['empty list'],
        'tensors.0': [],
        'tensors.0.name': ['text', 'empty text'],
        'tensors.0.elements': [],
        'tensors.0.dtype': [],
        'tensors.0.base': ['undefined', 'null'],
        'tensors.0.merged': [],
        'tensors.0.group': [],
        'tensors.0.tasks': [],
        'tensors.0.tasks.0': [],
        'tensors.0.tasks.0.region': [],
        'tensors.0.tasks.0.dtype': [],
      },
    }),
  }
}
