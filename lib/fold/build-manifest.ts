import { basename, join, resolve } from 'node:path'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { compareNames } from '../checkpoint/names.js'
import { taskArithmetic } from '../merge/task-arithmetic.js'
import { combineFingerprints } from '../pack/fingerprint-tree.js'
import {
  FORMAT_VERSION,
  type Manifest,
  type ManifestTask,
  MERGED_FOLDER,
  type PackFile,
  type PackSource,
  TASKS_FOLDER,
} from '../pack/pack-format.js'
import type { FoldRun } from './fold-run.js'
import { packageVersion } from './package-version.js'
import type { PlannedTask } from './plan-types.js'

/** What a finished task adds to the manifest. */
export interface FinishedTask {
  kept: number
  /** Names of merged/'s other files that the task has too. */
  sharedFiles: string[]
}

/**
 * Builds family.json.
 *
 * @param run - the fold, everything written
 * @param files - every file of the family, in any order
 * @param finished - by task name
 * @returns the manifest; the same for the same inputs and options
 */
export async function buildManifest(
  run: FoldRun,
  files: readonly PackFile[],
  finished: ReadonlyMap<string, FinishedTask>,
): Promise<Manifest> {
  const { settings, inputs, tasks } = run.plan
  const { density, scope, nonFinite, dtype } = settings
  const below = (folder: string) =>
    files.filter(({ path }) => path.startsWith(`${folder}/`)).sort((a, b) => compareNames(a.path, b.path))
  const merged = below(MERGED_FOLDER)
  const base = [...inputs.base.tensors.values()].map(({ name, dtype: type, shape }) => ({
    name,
    dtype: type,
    shape,
    fingerprint: run.baseFingerprints.get(name)!,
  }))
  const { lambda } = taskArithmetic.describe(settings)
  return {
    taskfold: { format: FORMAT_VERSION, version: packageVersion() },
    method: { merge: 'task-arithmetic', lambda: Number(lambda), density, scope, nonFinite, dtype },
    base: { ...packSource(inputs.base), fingerprint: await combineFingerprints(base) },
    merged: {
      bytes: sum(merged),
      files: merged,
      tensors: nullPrototype(run.mergedFingerprints),
    },
    tasks: tasks.map((task) =>
      manifestTask(run, task, below(`${TASKS_FOLDER}/${task.name}`), finished.get(task.name)!),
    ),
  }
}

function manifestTask(
  run: FoldRun,
  task: PlannedTask,
  files: PackFile[],
  finished: FinishedTask,
): ManifestTask {
  const shards = extraShards(run, task)
  return {
    name: task.name,
    source: packSource(task.checkpoint),
    codec: 'exact',
    kept: finished.kept,
    elements: run.plan.elements,
    bytes: sum(files),
    originalBytes: task.checkpoint.totalBytes,
    files,
    ...(finished.sharedFiles.length > 0 ? { sharedFiles: finished.sharedFiles } : {}),
    metadata: { ...task.checkpoint.files[0]?.metadata, format: 'pt' },
    ...(shards.size > 0 ? { shards: nullPrototype(shards) } : {}),
  }
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
  const { source, folder, files, totalBytes } = checkpoint
  const path = resolve(source)
  const isPath = path === folder || path === files[0]?.path || path === join(folder, basename(source))
  return { name: isPath ? basename(path) : source, bytes: totalBytes }
}

function nullPrototype(map: ReadonlyMap<string, string>): Record<string, string> {
  const record: Record<string, string> = Object.create(null)
  for (const [name, value] of map) record[name] = value
  return record
}

function sum(files: readonly PackFile[]): number {
  return files.reduce((total, { bytes }) => total + bytes, 0)
}
