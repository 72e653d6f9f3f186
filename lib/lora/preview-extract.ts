import { byteLength } from '../checkpoint/dtypes.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { resolveOutputTarget } from '../io/output-target.js'
import type { LoraLayerKind } from './adapter-types.js'
import { factorDtype } from './extract-layers.js'
import { checkExtractOptions, type LoraExtractOptions } from './extract-options.js'
import { planExtract } from './extract-plan.js'

/** What {@link previewLoraExtract} finds in headers alone. */
export interface LoraExtractPreview {
  /** Absolute path that the adapter's folder would have. */
  output: string
  /** In bytewise order of their modules. */
  layers: {
    /** Name of the module. */
    module: string
    /** What the weight is. */
    kind: LoraLayerKind
    /** Of the weight as the model stores it; conv kernels flattened. */
    rows: number
    /** See rows. */
    columns: number
    /** At most. */
    rank: number
    /** Of its factors, at most. */
    bytes: number
  }[]
  /** Tensors that would be stored whole. */
  saved: string[]
  /** Tensors that would be left out, and why. */
  leftOut: {
    /** Its name. */
    name: string
    /** To be read after the name. */
    reason: string
  }[]
  /** Bytes of the adapter's tensors, at most. */
  bytes: number
  /** Bytes of the fine-tune's tensors. */
  originalBytes: number
}

/**
 * Tells which modules {@link loraExtract} would decompose, what it would store whole or leave out, and what the adapter
 * would take at most. Only headers are read.
 *
 * @param options - as for {@link loraExtract}
 * @returns plain data that JSON can hold
 * @throws TaskfoldError INVALID_ARGUMENT, NOT_FOUND, NOTHING_TO_MERGE, CANCELLED, or a code of the safetensors checks
 */
export async function previewLoraExtract(options: LoraExtractOptions): Promise<LoraExtractPreview> {
  const settings = checkExtractOptions(options)
  const { cacheDir, signal } = settings
  throwIfAborted(signal)
  const base = await readCheckpoint(settings.base, { cacheDir, signal })
  const tuned = await readCheckpoint(settings.finetuned, { cacheDir, signal })
  const plan = planExtract(base, tuned, settings.choice)
  const layers = plan.layers.map((layer) => {
    const { module, kind, rows, columns } = layer
    const rank = Math.min(settings.rank, rows, columns)
    const bytes = byteLength(factorDtype(layer, settings), [rows + columns, rank])
    return { module, kind, rows, columns, rank, bytes }
  })
  const whole = plan.saved.reduce((sum, { length }) => sum + length, 0)
  return {
    output: await resolveOutputTarget(settings.output),
    layers,
    saved: plan.saved.map(({ name }) => name),
    leftOut: plan.leftOut.map(({ tuned: { name }, reason }) => ({ name, reason })),
    bytes: layers.reduce((sum, { bytes }) => sum + bytes, whole),
    originalBytes: tuned.totalBytes,
  }
}
