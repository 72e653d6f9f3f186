import { readdir, rm, stat } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { copyModelFiles } from '../checkpoint/model-files.js'
import { writeShardIndex } from '../checkpoint/shard-layout.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { writeManifest } from '../pack/manifest.js'
import type { Manifest, PackFile } from '../pack/manifest-types.js'
import { MANIFEST_FILE, MERGED_FOLDER, TASKS_FOLDER } from '../pack/pack-format.js'
import { buildManifest, type FinishedTask, type TaskFacts } from './build-manifest.js'
import { compareModelFiles } from './compare-model-files.js'
import { setConfigDtype } from './config-dtype.js'
import { finishFile } from './finish-file.js'
import { JOURNAL_FILE } from './fold-journal.js'
import { type FoldRun, fingerprints } from './fold-run.js'
import { inputModels } from './input-models.js'
import type { MergedTargets } from './merged-targets.js'
import { packableFiles } from './packable-files.js'
import { SNAPSHOT_FILE } from './selection-snapshot.js'

/** How an interrupted {@link writeFileAtomic} names what it leaves. */
const ASIDE = /\.[0-9a-f-]{36}\.partial$/
/** Small files opened at once. */
const GROUP_FILES = 64

/**
 * Makes the safetensors files of merged/ permanent and writes its index.
 *
 * @param run - the fold, every tensor of merged/ written
 * @param targets - the files of merged/
 */
export async function finishMerged(run: FoldRun, targets: MergedTargets): Promise<void> {
  const folder = join(run.work, MERGED_FOLDER)
  for (const { path, bytes } of targets.files) {
    const inside = familyPath(run, path)
    if (!run.completeFiles.has(inside)) await finishFile(run, inside, bytes)
  }
  const { mergedFiles, inputs } = run.plan
  if (inputs.base.sharded) {
    const places = mergedFiles.flatMap(({ name, tensors }) =>
      tensors.map((tensor) => [tensor.name, name] as const),
    )
    const total = [...targets.places.values()].reduce((sum, { length }) => sum + length, 0)
    await writeShardIndex(folder, new Map(places), total)
  }
}

/**
 * Phase 3: configs and tokenizer files, a last look at the inputs, family.json, and away with what is not part of the
 * family. After it the partial folder is ready to get its name.
 *
 * @param run - the fold
 * @param facts - entries that each task keeps
 * @returns the manifest that was written
 * @throws TaskfoldError INPUT_CHANGED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function finishFamily(run: FoldRun, facts: ReadonlyMap<string, TaskFacts>): Promise<Manifest> {
  const { inputs } = run.plan
  const { signal } = run
  const { dtype } = run.plan.settings
  if (inputs.tasks.length > 0) {
    const mergedFolder = join(run.work, MERGED_FOLDER)
    await copyModelFiles(inputs.base, mergedFolder, { names: packableFiles(inputs.base), signal })
    if (dtype !== 'keep') await setConfigDtype(mergedFolder, dtype)
  }
  const finished = new Map<string, FinishedTask>()
  for (const { name, checkpoint } of inputs.tasks) {
    const { shared, own } = await compareModelFiles(inputs.base, checkpoint, signal)
    const folder = join(run.work, TASKS_FOLDER, name)
    await copyModelFiles(checkpoint, folder, { names: own, signal })
    if (dtype !== 'keep') await setConfigDtype(folder, dtype)
    finished.set(name, { ...facts.get(name)!, sharedFiles: shared })
  }
  const files = await listFiles(run, await expectedFiles(run))
  const manifest = await buildManifest(run, files, finished)
  for (const checkpoint of inputModels(inputs)) await assertUnchanged(checkpoint)
  throwIfAborted(signal)
  await writeManifest(run.work, manifest)
  return manifest
}

/** Removes leftovers of a killed run, then lists what is there. */
async function expectedFiles(run: FoldRun): Promise<string[]> {
  const entries = await readdir(run.work, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const kept: string[] = []
  for (const path of paths) {
    const inside = familyPath(run, path)
    if (ASIDE.test(inside)) await rm(path, { force: true })
    else if (inside !== MANIFEST_FILE && inside !== JOURNAL_FILE && inside !== SNAPSHOT_FILE)
      kept.push(inside)
  }
  return kept
}

async function listFiles(run: FoldRun, paths: readonly string[]): Promise<PackFile[]> {
  const entries: PackFile[] = []
  const small: string[] = []
  for (const path of paths) {
    const known = run.completeFiles.get(path)
    if (known === undefined) small.push(path)
    else entries.push(known)
  }
  for (let i = 0; i < small.length; i += GROUP_FILES) {
    const group = small.slice(i, i + GROUP_FILES)
    const sizes = await Promise.all(group.map(async (path) => (await stat(join(run.work, path))).size))
    const regions = group.map((path, j) => ({
      file: run.files.input(join(run.work, path)),
      offset: 0,
      length: sizes[j]!,
    }))
    const found = await fingerprints(run, regions)
    entries.push(...group.map((path, j) => ({ path, bytes: sizes[j]!, fingerprint: found[j]! })))
  }
  return entries
}

/**
 * Removes the journal: from here on a kill costs the whole run, so only a sync and a rename may follow.
 *
 * @param work - the partial folder
 */
export async function removeJournal(work: string): Promise<void> {
  try {
    for (const name of [SNAPSHOT_FILE, JOURNAL_FILE]) await rm(join(work, name), { force: true })
  } catch (error) {
    throw toTaskfoldError(error, { file: work, action: 'clean up' })
  }
}

function familyPath(run: FoldRun, path: string): string {
  return relative(run.work, path).split(sep).join('/')
}
