import { join } from 'node:path'
import { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { createProgress, type OnProgress } from '../io/progress.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import { openAdapter } from '../lora/open-adapter.js'
import { openPackAdapter, type PackAdapter } from '../materialize/open-pack-adapter.js'
import { familyFiles } from '../pack/family-files.js'
import type { PackFile } from '../pack/manifest-types.js'
import { openPack } from '../pack/open-pack.js'
import type { Pack, PackTask } from '../pack/pack-types.js'
import { checkDeltaIndex } from './check-delta-index.js'
import { collectProblems } from './collect-problems.js'
import { compareTask } from './compare-task.js'
import { unlistedFiles } from './unlisted-files.js'
import { adapterBytes, verifyAdapter, verifyBase } from './verify-adapter.js'
import { checkTaskArrays, decodeDeltas } from './verify-deltas.js'
import { type ExpectedFingerprint, type VerifyRun, verifyFingerprints } from './verify-fingerprints.js'
import type { VerifiedTask, VerifyResult } from './verify-types.js'

/** Options of {@link verify}. */
export interface VerifyOptions {
  /** Originals to compare with: task name to checkpoint, as readCheckpoint takes it. */
  against?: Readonly<Record<string, string>>
  /** Hugging Face cache to look up org/name in. Default: as huggingface_hub finds it. */
  cacheDir?: string
  /** Stops within a second. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
  /** Threads at most. Default: the machine's. */
  threads?: number
}

/**
 * Reads a whole family again: every file's size and fingerprint, every merged tensor's fingerprint, every entry of every
 * delta; and compares tasks with their originals where these are given. Finds everything that is wrong in one run.
 *
 * @param path - the family's folder
 * @param options - originals, signal, progress, threads
 * @returns what was checked; a delta that leaves entries out is no fault
 * @throws TaskfoldError VERIFY_FAILED with all `problems`; NOT_A_FAMILY, PACK_INVALID or PACK_VERSION when there is
 * nothing to verify; NOT_FOUND for a task in `against` that the family does not have; CANCELLED, IO_ERROR
 */
export async function verify(path: string, options: VerifyOptions = {}): Promise<VerifyResult> {
  const { signal, onProgress, threads, cacheDir } = options
  throwIfAborted(signal)
  const problems: TaskfoldError[] = []
  const pack = await openCollecting(path, problems, signal)
  const originals = await openOriginals(pack, options.against ?? {}, cacheDir, signal)
  const { tasks, adapters } = await openTasks(pack, problems, signal)
  const listed = familyFiles(pack.manifest)
  const wrongSize = new Set(problems.map((problem) => problem.file))
  const sound = listed.filter((file) => !wrongSize.has(join(pack.folder, file.path)))
  const merged = mergedTensors(pack)
  const bytes =
    totalBytes(sound, merged, tasks, originals.models) + adapterBytes(pack, adapters, originals.adapters)
  const progress = createProgress(onProgress, 'verify', bytes)
  const files = new NativeFiles()
  const run: VerifyRun = { files, problems, signal, threads, add: progress.add }
  const verified = new Map<string, VerifiedTask>()
  try {
    await verifyFingerprints(
      sound.map((file) => wholeFile(pack, file)),
      run,
    )
    await verifyFingerprints(merged, run)
    if (pack.base !== null) await verifyBase(pack, pack.base, run)
    for (const task of tasks) {
      await collectProblems(problems, () => checkDeltaIndex(pack, task))
      const deltas = await checkTaskArrays(task, run)
      const original = originals.models.get(task.name)
      const names = new Set(deltas.map(({ name }) => name))
      if (original === undefined) await decodeDeltas(task, deltas, run)
      const against = original === undefined ? null : await compareTask(task, names, original, run)
      const { name, tensors, manifest } = task
      verified.set(name, {
        name,
        codec: manifest.codec,
        tensors: tensors.size,
        kept: manifest.kept,
        layers: null,
        against,
      })
    }
    for (const adapter of adapters) {
      verified.set(
        adapter.name,
        await verifyAdapter(pack, adapter, originals.adapters.get(adapter.name), run),
      )
    }
    const opened = [...adapters, ...originals.adapters.values()].map((one) =>
      'adapter' in one ? one.adapter : one,
    )
    const models = [
      pack.merged,
      pack.base,
      ...tasks,
      ...originals.models.values(),
      ...opened.map((one) => one.checkpoint),
    ]
    for (const checkpoint of models) if (checkpoint !== null) await assertUnchanged(checkpoint)
  } finally {
    files.close()
  }
  progress.done()
  if (problems.length > 0) throw failed(pack.folder, problems)
  return {
    path: pack.folder,
    files: listed.length,
    bytes: listed.reduce((sum, file) => sum + file.bytes, 0),
    mergedTensors: merged.length,
    unlisted: await unlistedFiles(pack.folder, pack.manifest),
    tasks: pack.manifest.tasks.flatMap(({ name }) => verified.get(name) ?? []),
  }
}

/** Missing and truncated files explain why merged/ cannot be opened: they are reported together. */
async function openCollecting(
  path: string,
  problems: TaskfoldError[],
  signal: AbortSignal | undefined,
): Promise<Pack> {
  try {
    return await openPack(path, { signal, problems })
  } catch (error) {
    const known = toTaskfoldError(error, { file: path })
    if (problems.length === 0 || known.code === 'CANCELLED') throw known
    throw failed(path, [...problems, known])
  }
}

/** What the tasks of a family were made of, by task. */
interface Originals {
  models: Map<string, Checkpoint>
  adapters: Map<string, LoraAdapter>
}

async function openOriginals(
  pack: Pack,
  against: Readonly<Record<string, string>>,
  cacheDir: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Originals> {
  const originals: Originals = { models: new Map(), adapters: new Map() }
  for (const [name, source] of Object.entries(against)) {
    const entry = pack.manifest.tasks.find((task) => task.name === name)
    if (entry === undefined) {
      throw new TaskfoldError('NOT_FOUND', `${pack.folder} has no task '${name}' to compare with ${source}`, {
        file: pack.folder,
        task: name,
        hint: `its tasks: ${pack.manifest.tasks.map((task) => task.name).join(', ') || 'none'}`,
      })
    }
    if (entry.codec === 'lora') originals.adapters.set(name, await openAdapter(source, { cacheDir, signal }))
    else originals.models.set(name, await readCheckpoint(source, { cacheDir, signal }))
  }
  return originals
}

/** Opens every task; those that cannot be opened become problems. */
async function openTasks(
  pack: Pack,
  problems: TaskfoldError[],
  signal: AbortSignal | undefined,
): Promise<{ tasks: PackTask[]; adapters: PackAdapter[] }> {
  const tasks: PackTask[] = []
  const adapters: PackAdapter[] = []
  for (const entry of pack.manifest.tasks) {
    if (entry.codec === 'lora') {
      const adapter = await collectProblems(problems, () => openPackAdapter(pack, entry, signal))
      if (adapter !== undefined) adapters.push(adapter)
    } else {
      const task = await collectProblems(problems, () => pack.task(entry.name))
      if (task !== undefined) tasks.push(task)
    }
  }
  return { tasks, adapters }
}

function wholeFile(pack: Pack, file: PackFile): ExpectedFingerprint {
  return {
    range: { file: join(pack.folder, file.path), offset: 0, length: file.bytes },
    fingerprint: file.fingerprint,
    problem: 'its bytes are not those that the family was written with',
  }
}

function mergedTensors({ merged, manifest }: Pack): ExpectedFingerprint[] {
  return [...(merged?.tensors.values() ?? [])].map(({ name, file, offset, length }) => ({
    range: { file, offset, length },
    fingerprint: manifest.merged!.tensors[name]!,
    tensor: name,
    problem: `the bytes of tensor ${JSON.stringify(name)} are not those that were merged`,
  }))
}

function totalBytes(
  files: readonly PackFile[],
  merged: readonly ExpectedFingerprint[],
  tasks: readonly PackTask[],
  originals: ReadonlyMap<string, Checkpoint>,
): number {
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  bytes += merged.reduce((sum, { range }) => sum + range.length, 0)
  for (const task of tasks) {
    for (const tensor of task.tensors.values()) {
      // Decoding reads deltas only; a comparison reads everything.
      if (tensor.arrays !== null || originals.has(task.name)) bytes += tensor.byteLength
    }
  }
  return bytes
}

function failed(folder: string, problems: TaskfoldError[]): TaskfoldError {
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  return new TaskfoldError('VERIFY_FAILED', `${folder} has ${count}; the first: ${problems[0]!.message}`, {
    file: folder,
    problems,
    hint: 'fetch the family again, or fold it again from the originals',
  })
}
