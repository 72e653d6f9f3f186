import { constants } from 'node:fs'
import { copyFile, mkdir, open, realpath } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, sep } from 'node:path'
import { BackgroundSync } from '../binding/background-sync.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { writeShardIndex } from '../checkpoint/shard-layout.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { openOutputFolder } from '../io/atomic-output.js'
import { freeBytes } from '../io/disk-space.js'
import { resolveOutputTarget } from '../io/output-target.js'
import { createProgress, type OnProgress, type ProgressCounter } from '../io/progress.js'
import { NativeFiles } from '../binding/native-files.js'
import type { Pack, PackTask } from '../pack/pack-types.js'
import { runParts } from '../pack/run-parts.js'
import { tensorParts } from '../pack/tensor-parts.js'
import { type OutputPlan, type PlannedShard, planOutput } from './plan-output.js'

/** How a task is unfolded to a folder. */
export interface MaterializeOptions {
  /** Replace an existing checkpoint at the output. Default false. */
  force?: boolean
  /** Stops within a second; nothing half-written stays. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
  /** Threads at most. Default: the machine's. */
  threads?: number
  /** Wait until the disk has everything. Default true. */
  sync?: boolean
}

/** What unfolding a task to a folder wrote. */
export interface MaterializeResult {
  /** Absolute path of the folder. */
  folder: string
  /** Name of the task. */
  task: string
  /** Number of tensors. */
  tensors: number
  /** Bytes of all files. */
  bytes: number
  /** Names of all files, without the index. */
  files: string[]
}

/**
 * Writes one task's model as an ordinary Hugging Face folder: sharded like the base, with the task's own config and
 * tokenizer files. Ends with a complete folder or with none.
 *
 * @param pack - the open family
 * @param task - name of the task
 * @param folder - folder to write; must not exist, unless `force`
 * @param options - force, signal, progress, threads, sync
 * @returns what was written
 * @throws TaskfoldError NOT_FOUND, OUTPUT_EXISTS, OUTPUT_BUSY, INVALID_ARGUMENT, DISK_FULL, PACK_INVALID, HASH_MISMATCH,
 * INPUT_CHANGED, CANCELLED, IO_ERROR
 */
export async function materialize(
  pack: Pack,
  task: string,
  folder: string,
  options: MaterializeOptions = {},
): Promise<MaterializeResult> {
  const { force, signal, onProgress, sync } = options
  throwIfAborted(signal)
  const opened = await pack.task(task)
  const plan = planOutput(pack, opened)
  await refuseInside(pack.folder, folder)
  await checkSpace(folder, plan)
  const output = await openOutputFolder(folder, {
    force,
    sync,
    inputs: [pack.folder, ...inputFiles(pack, opened)],
  })
  const progress = createProgress(onProgress, 'materialize', plan.totalBytes)
  try {
    let done = 0
    for (const shard of plan.shards) {
      await writeShard(pack, opened, shard, output.work, options, (bytes, tensor) =>
        progress.set(done + bytes, { task, tensor }),
      )
      done += shard.fileBytes
    }
    await copyOthers(pack, plan, output.work, task, signal, progress)
    if (plan.index) {
      const places = plan.shards.flatMap(({ name, tensors }) =>
        tensors.map(({ tensor }): [string, string] => [tensor.name, name]),
      )
      await writeShardIndex(output.work, new Map(places), plan.tensorBytes)
    }
    await assertUnchanged(pack.merged)
    await assertUnchanged({ files: opened.files })
    throwIfAborted(signal)
    await output.commit()
  } catch (error) {
    throw toTaskfoldError(error, { task, action: 'unfold' })
  } finally {
    await output.discard()
  }
  progress.done()
  return {
    folder: output.final,
    task,
    tensors: opened.tensors.size,
    bytes: plan.totalBytes,
    files: [...plan.shards.map((shard) => shard.name), ...plan.others.map((other) => other.to)],
  }
}

async function writeShard(
  pack: Pack,
  task: PackTask,
  shard: PlannedShard,
  work: string,
  options: MaterializeOptions,
  onBytes: (bytes: number, tensor?: string) => void,
): Promise<void> {
  const path = join(work, shard.name)
  const files = new NativeFiles()
  const sync = new BackgroundSync(native(), options.sync ?? true)
  try {
    const out = files.open(path, 'w')
    await callNative(() => native().allocateFile(out, shard.fileBytes), { context: { file: path } })
    const jobs = shard.tensors.flatMap(({ tensor, offset }) =>
      tensorParts(pack, task, tensor).map((part) => ({
        part,
        out: { file: out, offset: offset + part.at, length: part.length },
      })),
    )
    await runParts(jobs, {
      files,
      task: task.name,
      signal: options.signal,
      threads: options.threads,
      onBytes(bytes) {
        sync.start(out)
        onBytes(shard.header.length + bytes)
      },
    })
    await writeHeader(path, shard.header)
    await sync.finish(out, options.signal)
  } finally {
    files.close()
  }
}

async function writeHeader(path: string, header: Uint8Array): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    for (let at = 0; at < header.length; ) {
      at += (await handle.write(header, at, header.length - at, at)).bytesWritten
    }
  } catch (error) {
    throw toTaskfoldError(error, { file: path, action: 'write' })
  } finally {
    await handle.close()
  }
}

/** Copies are checked against their fingerprints: they are small, and a link in a family may lead anywhere. */
async function copyOthers(
  pack: Pack,
  plan: OutputPlan,
  work: string,
  task: string,
  signal: AbortSignal | undefined,
  progress: ProgressCounter,
): Promise<void> {
  const copies = new NativeFiles()
  try {
    for (const { from, to } of plan.others) {
      throwIfAborted(signal)
      const source = join(pack.folder, from.path)
      const target = join(work, to)
      try {
        await mkdir(dirname(target), { recursive: true })
        await copyFile(source, target, constants.COPYFILE_EXCL)
      } catch (error) {
        throw toTaskfoldError(error, { file: source, task, action: 'copy' })
      }
      const region = copies.region({ file: target, offset: 0, length: from.bytes })
      const [found] = await callNative(
        (control) => native().fingerprintRegions({ regions: [region] }, control),
        {
          signal,
          context: { file: source, task },
        },
      )
      copies.closeFile(target)
      if (found !== from.fingerprint) {
        throw new TaskfoldError(
          'HASH_MISMATCH',
          `${source}: its bytes are not those that the family was written with`,
          {
            file: source,
            task,
            hint: 'fetch or fold the family again; taskfold verify lists everything that changed',
          },
        )
      }
      progress.add(from.bytes, { task })
    }
  } finally {
    copies.close()
  }
}

/** A family is an input: nothing is ever written into it. */
async function refuseInside(family: string, folder: string): Promise<void> {
  const target = await resolveOutputTarget(folder)
  const way = relative(await realpath(family), target)
  if (way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) return
  throw new TaskfoldError('INVALID_ARGUMENT', `the output ${folder} lies inside the family ${family}`, {
    file: folder,
    hint: 'choose a folder beside the family',
  })
}

async function checkSpace(folder: string, plan: OutputPlan): Promise<void> {
  const free = await freeBytes(folder)
  if (free >= plan.totalBytes) return
  throw new TaskfoldError(
    'DISK_FULL',
    `${folder} needs ${plan.totalBytes} bytes, but its disk has ${free} free`,
    {
      file: folder,
      hint: 'free some space or write to another disk',
    },
  )
}

function inputFiles(pack: Pack, task: PackTask): string[] {
  return [...pack.merged.files, ...task.files].map((file) => file.path)
}
