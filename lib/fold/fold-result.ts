import type { UsedDevice } from '../binding/device-choice.js'
import { totalEnergy } from '../lora/adapter-report.js'
import type { Manifest, ManifestLoss, ManifestTask, RemainderCodec } from '../pack/manifest-types.js'
import type { FoldRun } from './fold-run.js'
import type { PlanNote } from './plan-types.js'

/** What one task takes in a family. */
export interface FoldedTask {
  /** Name of the task. */
  name: string
  /** lora: an adapter; another: how the remainder of a full fine-tune is coded. */
  codec: RemainderCodec | 'lora'
  /** Bytes of its files in the family, index and headers included. */
  bytes: number
  /** Bytes of its original's tensors. */
  originalBytes: number
  /** bytes ÷ originalBytes; the number that people compare. */
  share: number
  /** Entries kept; null for a LoRA task. */
  kept: number | null
  /** Entries there were to choose from; null for a LoRA task. */
  elements: number | null
  /** How near a lossy codec comes; null: not recorded, or nothing is lost. */
  loss: ManifestLoss | null
  /** What its layers keep; null for a full fine-tune. */
  lora: FoldedAdapter | null
}

/** What became of the adapter of a LoRA task. */
export interface FoldedAdapter {
  /** Largest rank of a layer. */
  rank: number
  /** Largest rank of a layer of the original. */
  originalRank: number
  /** Number of layers. */
  layers: number
  /** Share of the squared Frobenius norm that is kept, over all layers. */
  retainedEnergy: number
  /** √(lost ÷ whole squared norm), over all layers. */
  relativeError: number
}

/** What {@link fold} did. */
export interface FoldResult extends UsedDevice {
  /** Absolute path of the family. */
  family: string
  /** In task order. */
  tasks: FoldedTask[]
  /** Bytes of merged/; 0 when all tasks are LoRA tasks. */
  mergedBytes: number
  /** Bytes of base/; 0 when the base was not copied. */
  baseBytes: number
  /** Bytes of merged/, base/ and all tasks, and of the originals of all tasks. */
  totals: {
    /** The family without family.json. */
    bytes: number
    /** One model, or one adapter, per task. */
    originalBytes: number
    /** bytes ÷ originalBytes */
    share: number
  }
  /** Wall-clock seconds. */
  seconds: number
  /** What preflight noted, and what users of a written adapter should know. */
  warnings: PlanNote[]
  /** What an earlier, killed run of the same fold had finished; null when this one began afresh. */
  resumed: {
    /** Native calls that were not made again. */
    batchesSkipped: number
    /** Native calls of the whole fold. */
    batchesTotal: number
  } | null
}

/**
 * Sums a finished fold up.
 *
 * @param run - the fold
 * @param manifest - as written
 * @param family - path of the family
 * @param facts - seconds, and whether an earlier run was continued
 * @returns the result of {@link fold}
 */
export function foldResult(
  run: FoldRun,
  manifest: Manifest,
  family: string,
  facts: { seconds: number; resumed: boolean },
): FoldResult {
  const tasks = manifest.tasks.map((task) => foldedTask(run, task))
  const mergedBytes = manifest.merged?.bytes ?? 0
  const baseBytes = (manifest.base.files ?? []).reduce((sum, file) => sum + file.bytes, 0)
  const bytes = mergedBytes + baseBytes + tasks.reduce((sum, task) => sum + task.bytes, 0)
  const originalBytes = tasks.reduce((sum, task) => sum + task.originalBytes, 0)
  return {
    family,
    tasks,
    mergedBytes,
    baseBytes,
    totals: { bytes, originalBytes, share: ratio(bytes, originalBytes) },
    device: run.device.device,
    deviceNote: run.device.deviceNote,
    seconds: facts.seconds,
    warnings: [...run.plan.notes, ...adapterNotes(run)],
    resumed: facts.resumed ? { batchesSkipped: run.batches.skipped, batchesTotal: run.batches.total } : null,
  }
}

function foldedTask(run: FoldRun, task: ManifestTask): FoldedTask {
  const { name, codec, bytes, originalBytes } = task
  const common = { name, codec, bytes, originalBytes, share: ratio(bytes, originalBytes) }
  if (task.codec !== 'lora') {
    return { ...common, kept: task.kept, elements: task.elements, loss: task.loss ?? null, lora: null }
  }
  const { rank, layers } = run.adapterReports.get(name)!
  const originalRank = layers.reduce((most, { rankBefore }) => Math.max(most, rankBefore), 0)
  const lora = { rank, originalRank, layers: layers.length, ...totalEnergy(layers) }
  return { ...common, kept: null, elements: null, loss: null, lora }
}

function adapterNotes(run: FoldRun): PlanNote[] {
  return [...run.adapterReports].flatMap(([task, { warnings }]) =>
    warnings.map(({ message }): PlanNote => ({ kind: 'adapter', task, message: `task ${task}: ${message}` })),
  )
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole
}
