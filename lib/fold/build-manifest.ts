import { basename, resolve } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { compareNames } from '../checkpoint/names.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import { combineFingerprints } from '../pack/fingerprint-tree.js'
import type {
  Manifest,
  ManifestBase,
  ManifestExactTask,
  ManifestLoraTask,
  ManifestLoss,
  ManifestMethod,
  ManifestTask,
  PackFile,
  PackSource,
} from '../pack/manifest-types.js'
import { BASE_FOLDER, FORMAT_VERSION, MERGED_FOLDER, TASKS_FOLDER } from '../pack/pack-format.js'
import type { FoldRun } from './fold-run.js'
import { packageVersion } from './package-version.js'
import type { FoldPlan, PlannedAdapter, PlannedTask } from './plan-types.js'
import { givenAsPath, referToBase } from './refer-to-base.js'
import { streamTarget } from './stream-target.js'

/** What coding a task gave. */
export interface TaskFacts {
  /** Entries kept, or nonzero codes. */
  kept: number
  /** Of a stream codec. */
  loss?: ManifestLoss
}

/** What a finished task adds to the manifest. */
export interface FinishedTask extends TaskFacts {
  /** Names of merged/'s other files that the task has too. */
  sharedFiles: string[]
}

/**
 * Builds family.json.
 *
 * @param run - the fold, everything written
 * @param files - every file of the family, in any order
 * @param finished - full fine-tunes by name
 * @returns the manifest; the same for the same inputs and options
 */
export async function buildManifest(
  run: FoldRun,
  files: readonly PackFile[],
  finished: ReadonlyMap<string, FinishedTask>,
): Promise<Manifest> {
  const { settings, tasks, adapters } = run.plan
  const below: FilesBelow = (folder) =>
    files.filter(({ path }) => path.startsWith(`${folder}/`)).sort((a, b) => compareNames(a.path, b.path))
  const merged = below(MERGED_FOLDER)
  const entries = new Map<string, ManifestTask>()
  for (const task of tasks) entries.set(task.name, exactTask(run, task, below, finished.get(task.name)!))
  for (const adapter of adapters) entries.set(adapter.name, loraTask(run, adapter, below))
  const hasMerged = tasks.length > 0
  return {
    taskfold: { format: FORMAT_VERSION, version: packageVersion() },
    method: describeMethod(run.plan),
    base: await describeBase(run, below),
    ...(hasMerged
      ? { merged: { bytes: sum(merged), files: merged, tensors: nullPrototype(run.mergedFingerprints) } }
      : {}),
    tasks: settings.tasks.map(({ name }) => entries.get(name)!),
  }
}

/** Files of the family in one of its folders, in bytewise order. */
type FilesBelow = (folder: string) => PackFile[]

function describeMethod(plan: FoldPlan): ManifestMethod {
  const { settings, tasks, adapters } = plan
  const { density, scope, nonFinite, dtype, rankRule, maxRank, codec } = settings
  const coding =
    codec === 'exact' ? {} : { codec, ...(codec === 'step' ? { target: { bytes: streamTarget(plan) } } : {}) }
  const lambda = Number(taskArithmetic.describe(settings).lambda)
  const merge = { merge: 'task-arithmetic' as const, lambda, ...coding, density, scope, nonFinite, dtype }
  if (adapters.length === 0) return merge
  const lora = { rule: rankRule, ...(maxRank === undefined ? {} : { maxRank }) }
  return tasks.length > 0 ? { ...merge, lora } : { lora }
}

async function describeBase(run: FoldRun, below: FilesBelow): Promise<ManifestBase> {
  const { inputs, settings, adapters } = run.plan
  const tensors = [...inputs.base.tensors.values()].map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    fingerprint: run.baseFingerprints.get(name)!,
  }))
  const base = { ...packSource(inputs.base), fingerprint: await combineFingerprints(tensors) }
  if (adapters.length === 0) return base
  if (settings.copyBase) return { ...base, files: below(BASE_FOLDER) }
  return { ...base, reference: await referToBase(inputs.base, settings.output) }
}

function exactTask(
  run: FoldRun,
  task: PlannedTask,
  below: FilesBelow,
  finished: FinishedTask,
): ManifestExactTask {
  const shards = extraShards(run, task)
  const files = below(`${TASKS_FOLDER}/${task.name}`)
  return {
    name: task.name,
    source: packSource(task.checkpoint),
    codec: run.plan.settings.codec,
    kept: finished.kept,
    elements: run.plan.elements,
    bytes: sum(files),
    originalBytes: task.checkpoint.totalBytes,
    files,
    ...(finished.loss === undefined ? {} : { loss: finished.loss }),
    ...(finished.sharedFiles.length > 0 ? { sharedFiles: finished.sharedFiles } : {}),
    metadata: { ...task.checkpoint.files[0]?.metadata, format: 'pt' },
    ...(shards.size > 0 ? { shards: nullPrototype(shards) } : {}),
  }
}

function loraTask(run: FoldRun, { name, adapter }: PlannedAdapter, below: FilesBelow): ManifestLoraTask {
  const report = run.adapterReports.get(name)!
  const files = below(`${TASKS_FOLDER}/${name}`)
  return {
    name,
    source: packSource(adapter.checkpoint),
    codec: 'lora',
    rank: report.rank,
    layers: report.layers.map(({ module, rankBefore, rankAfter, retainedEnergy, relativeError }) => ({
      module,
      rank: rankAfter,
      originalRank: rankBefore,
      // Rounding may carry a quotient of sums past its bounds.
      retainedEnergy: share(retainedEnergy),
      relativeError: share(relativeError),
    })),
    bytes: sum(files),
    originalBytes: adapter.checkpoint.totalBytes,
    files,
  }
}

function share(value: number): number {
  return Math.min(1, Math.max(0, value))
}

/** A tensor that the base lacks stays in its own shard when the base has one of that name. */
function extraShards(run: FoldRun, task: PlannedTask): Map<string, string> {
  const known = new Set(run.plan.mergedFiles.slice(1).map((file) => file.name))
  const shards = new Map<string, string>()
  for (const file of task.checkpoint.files) {
    if (!known.has(file.name)) continue
    for (const name of file.tensors) if (!run.plan.inputs.base.tensors.has(name)) shards.set(name, file.name)
  }
  return shards
}

/** A path's last component, or org/name@revision: where it was on this machine is nobody's business. */
function packSource(checkpoint: Checkpoint): PackSource {
  const { source, totalBytes } = checkpoint
  return { name: givenAsPath(checkpoint) ? basename(resolve(source)) : source, bytes: totalBytes }
}

function nullPrototype(map: ReadonlyMap<string, string>): Record<string, string> {
  const record: Record<string, string> = Object.create(null)
  for (const [name, value] of map) record[name] = value
  return record
}

function sum(files: readonly PackFile[]): number {
  return files.reduce((total, { bytes }) => total + bytes, 0)
}
