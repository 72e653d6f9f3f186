import { readdir, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { layoutSafetensors } from '../checkpoint/safetensors-layout.js'
import { INDEX_FILE } from '../checkpoint/shard-index.js'
import { freeBytes } from '../io/disk-space.js'
import { resolveOutputTarget } from '../io/output-target.js'
import { compareModelFiles } from './compare-model-files.js'
import { packableFiles } from './packable-files.js'
import { planTaskFiles } from './plan-task-files.js'
import type { AdapterPrediction, FoldPlan } from './plan-types.js'
import { predictAdapter } from './predict-adapter.js'
import { predictSize } from './predict-size.js'

/** Engine, JavaScript heap and file tables of a fold, threads aside. */
const MEMORY_BASE = 160 * 1024 * 1024
/** Blocks that one thread works on, for base, tasks, θ* and residuals. */
const MEMORY_PER_THREAD = 16 * 1024 * 1024
/** Windows and counters of one task's selection. */
const MEMORY_PER_TASK = 8 * 1024 * 1024
/** Names, shapes and roles of one tensor of one model. */
const MEMORY_PER_TENSOR = 4096
/** Room for family.json, by file and tensor. */
const MANIFEST_BASE = 4096
const MANIFEST_PER_NAME = 160
const MANIFEST_PER_LAYER = 240
const MANIFEST_PER_FILE = 512

/**
 * Predicts what a family will take on disk and in memory; an upper bound.
 *
 * @param plan - the parts of the plan that are known
 * @param signal - stops between files
 * @returns bytes
 */
export async function predictFamily(
  plan: Pick<FoldPlan, 'settings' | 'inputs' | 'mergeable' | 'mergedFiles' | 'tasks' | 'adapters'>,
  signal?: AbortSignal,
): Promise<FoldPlan['predicted']> {
  const { settings, inputs, mergeable, mergedFiles } = plan
  let names = 0
  const otherBytes = await sizesOf(inputs.base.folder, packableFiles(inputs.base))
  let mergedBytes = plan.tasks.length > 0 ? otherBytes : 0
  for (const file of mergedFiles) {
    mergedBytes += layoutSafetensors(file.tensors, file.metadata).fileBytes
    for (const tensor of file.tensors) names += MANIFEST_PER_NAME + 2 * Buffer.byteLength(tensor.name)
  }
  if (inputs.base.sharded) mergedBytes += names
  let baseBytes = 0
  if (settings.copyBase) {
    const index = inputs.base.sharded ? await sizesOf(inputs.base.folder, [INDEX_FILE]) : 0
    names += MANIFEST_PER_FILE * (inputs.base.files.length + packableFiles(inputs.base).length)
    baseBytes = otherBytes + index + inputs.base.files.reduce((sum, { size }) => sum + size, 0)
  }
  const adapters: AdapterPrediction[] = []
  for (const adapter of plan.adapters) {
    adapters.push(await predictAdapter(adapter, settings))
    names += MANIFEST_PER_FILE * (2 + adapter.adapter.otherFiles.length)
    for (const { module } of adapter.adapter.layers) names += MANIFEST_PER_LAYER + Buffer.byteLength(module)
  }
  const tasks = []
  for (const task of plan.tasks) {
    const { ownBytes } = await compareModelFiles(inputs.base, task.checkpoint, signal)
    const codec = settings.codec === 'step' ? undefined : settings.codec
    const headers = planTaskFiles(task, undefined, codec).reduce((sum, file) => sum + file.headerBytes, 0)
    tasks.push(predictSize(task, mergeable, settings, headers + ownBytes))
  }
  const tensors = tasks.length * mergeable.length + inputs.base.tensors.size
  return {
    tasks,
    adapters,
    mergedBytes,
    baseBytes,
    totalBytes:
      mergedBytes +
      baseBytes +
      [...tasks, ...adapters].reduce((sum, task) => sum + task.bytes, 0) +
      names +
      MANIFEST_BASE,
    memoryBytes:
      MEMORY_BASE +
      (settings.threads ?? availableParallelism()) * MEMORY_PER_THREAD +
      tasks.length * MEMORY_PER_TASK +
      tensors * MEMORY_PER_TENSOR,
    freeBytes: await spaceFor(settings.output),
  }
}

/** What an earlier run left is overwritten or removed, so it counts as free. */
async function spaceFor(output: string): Promise<number | null> {
  try {
    return (await freeBytes(output)) + (await folderBytes(`${await resolveOutputTarget(output)}.partial`))
  } catch {
    return null
  }
}

async function folderBytes(folder: string): Promise<number> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile())
    const stats = await Promise.all(files.map((entry) => stat(join(entry.parentPath, entry.name))))
    return stats.reduce((sum, { blocks }) => sum + blocks * 512, 0)
  } catch {
    return 0
  }
}

async function sizesOf(folder: string, names: readonly string[]): Promise<number> {
  let bytes = 0
  for (const name of names) {
    try {
      bytes += (await stat(join(folder, name))).size
    } catch {
      // A file that vanished is reported when it is copied.
    }
  }
  return bytes
}
