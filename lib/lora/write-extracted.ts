import type { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { AdapterFile } from './adapter-file.js'
import type { AdapterOutput, AdapterTensor, AdapterWarning } from './adapter-types.js'
import type { ExtractedLayers } from './extract-layers.js'
import type { ExtractSettings } from './extract-options.js'
import type { ExtractPlan } from './extract-plan.js'
import { describePeftAdapter } from './peft-adapter.js'
import { targetModules } from './target-modules.js'

/** Everything that {@link writeExtracted} needs. */
export interface ExtractedAdapter {
  base: Checkpoint
  plan: ExtractPlan
  found: ExtractedLayers
  files: NativeFiles
  settings: ExtractSettings
}

/**
 * Writes the factors that were found as a PEFT adapter.
 *
 * @param folder - existing folder
 * @param adapter - plan, factors, settings
 * @returns rank, bytes and warnings
 * @throws TaskfoldError DISK_FULL, IO_ERROR, CANCELLED
 */
export async function writeExtracted(
  folder: string,
  { base, plan, found, files, settings }: ExtractedAdapter,
): Promise<{ rank: number; bytes: number; warnings: AdapterWarning[] }> {
  const { signal, sync } = settings
  const described = describe(base, plan, found)
  const byModule = new Map(found.layers.map((entry) => [entry.layer.module, entry]))
  const tensors: AdapterTensor[] = []
  for (const tensor of described.tensors) {
    const entry = tensor.from === 'a' || tensor.from === 'b' ? byModule.get(tensor.module) : undefined
    if (entry === undefined) {
      tensors.push(tensor)
      continue
    }
    const { name, dtype, shape } = tensor
    const { a, b, rows, columns, rank } = entry.factors
    if (entry.layer.transposed) {
      // Of ΔWᵀ = AᵀBᵀ: the adapter's A is Bᵀ, its B is Aᵀ.
      const bytes = await (tensor.from === 'a'
        ? found.spill.transposed(b, rows, rank)
        : found.spill.transposed(a, rank, columns))
      tensors.push({ name, dtype, shape, from: 'bytes', bytes })
    } else {
      const place = tensor.from === 'a' ? a : b
      tensors.push({ name, dtype, shape, from: 'copy', info: { file: found.spill.path, ...place } })
    }
  }
  const file = await AdapterFile.create(folder, { ...described, tensors }, { files, signal, sync })
  await file.finish()
  return {
    rank: Math.max(...found.layers.map(({ factors }) => factors.rank)),
    bytes: file.tensorBytes,
    warnings: [...described.warnings],
  }
}

function describe(base: Checkpoint, plan: ExtractPlan, found: ExtractedLayers): AdapterOutput {
  const extracted = found.layers.map(({ layer }) => layer.module)
  const saved = plan.saved.map((info) => ({ name: info.name, info }))
  return describePeftAdapter({
    layers: found.layers.map(({ layer, factors }) => {
      const { module, kind, transposed, rows, columns, tuned } = layer
      const { rank, dtype } = factors
      const [out, input] = transposed ? [columns, rows] : [rows, columns]
      const kernel = kind === 'conv2d' ? tuned.shape.slice(2) : []
      return {
        ...{ module, kind, rows: out, columns: input, rank, dtype },
        aShape: kind === 'conv2d' ? [rank, tuned.shape[1]!, ...kernel] : [rank, input],
        bShape: kind === 'conv2d' ? [out, rank, 1, 1] : [out, rank],
      }
    }),
    rest: saved,
    // As PEFT does: what the user calls the base, so that AutoPeftModel finds it again.
    baseName: base.source.replace(/@[^@/]*$/, ''),
    targetModules: targetModules(plan.candidates, extracted),
    modulesToSave: [...new Set(saved.map(({ name }) => name.replace(/\.(weight|bias)$/, '')))],
    fanInFanOut: found.layers.some(({ layer }) => layer.transposed && layer.kind === 'linear'),
    metadata: { format: 'pt' },
  })
}
