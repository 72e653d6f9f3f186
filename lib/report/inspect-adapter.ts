import { NativeFiles } from '../binding/native-files.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import { truncateLayers } from '../lora/truncate-layers.js'
import type { AdapterInspection, AdapterLayerInspection } from './adapter-inspection.js'

/** Options of {@link inspectAdapter}. */
export interface InspectAdapterOptions {
  /** Compute singular values, which reads the factors. Default false. */
  spectra?: boolean
  /** Threads at most. Default: the machine's. */
  threads?: number
  signal?: AbortSignal
}

/**
 * Describes an open adapter.
 *
 * @param adapter - what openAdapter gave
 * @param options - whether to compute singular values
 * @returns plain data that JSON can hold
 * @throws TaskfoldError NON_FINITE, FILE_TRUNCATED, IO_ERROR, CANCELLED; with spectra only
 */
export async function inspectAdapter(
  adapter: LoraAdapter,
  options: InspectAdapterOptions = {},
): Promise<AdapterInspection> {
  const { source, folder, format, config, rest, metadata, otherFiles, checkpoint } = adapter
  const spectra = options.spectra ? await singularValues(adapter, options) : null
  const named = config?.base_model_name_or_path
  return {
    kind: 'adapter',
    source,
    folder,
    format,
    base: typeof named === 'string' && named !== '' ? named : null,
    rank: adapter.layers.reduce((most, { rank }) => Math.max(most, rank), 0),
    layers: adapter.layers.map((layer, i): AdapterLayerInspection => {
      const { module, kind, rows, columns, rank, alpha, scale, a, b } = layer
      const values = spectra === null ? undefined : Array.from(spectra[i]!)
      return {
        ...{ module, kind, rows, columns, rank, alpha, scale, dtype: a.dtype, bytes: a.length + b.length },
        ...(values === undefined
          ? {}
          : { singularValues: values, energy: values.reduceRight((sum, value) => sum + value * value, 0) }),
      }
    }),
    rest: rest.map(({ name, dtype, shape, length }) => ({ name, dtype, shape: [...shape], bytes: length })),
    metadata: { ...metadata },
    otherFiles: [...otherFiles],
    totals: {
      layers: adapter.layers.length,
      parameters: adapter.layers.reduce((sum, { a, b }) => sum + a.elements + b.elements, 0),
      bytes: checkpoint.totalBytes,
    },
  }
}

async function singularValues(
  { layers }: LoraAdapter,
  { threads, signal }: InspectAdapterOptions,
): Promise<Float64Array[]> {
  const files = new NativeFiles()
  try {
    const sums = layers.map((layer) => {
      const { module, rows, columns } = layer
      return { module, rows, columns, parts: [{ layer, coefficient: 1 }] }
    })
    return await truncateLayers(sums, null, { files, threads, signal })
  } finally {
    files.close()
  }
}
