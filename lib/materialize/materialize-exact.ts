import { join } from 'node:path'
import { BackgroundSync } from '../binding/background-sync.js'
import { callNative } from '../binding/call-native.js'
import type { OpenedDevice } from '../binding/choose-device.js'
import { native } from '../binding/load-binding.js'
import { NativeFiles } from '../binding/native-files.js'
import { writeShardIndex } from '../checkpoint/shard-layout.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { createProgress } from '../io/progress.js'
import { writeRange } from '../io/write-range.js'
import type { Pack, PackTask } from '../pack/pack-types.js'
import { runParts } from '../pack/run-parts.js'
import { tensorParts } from '../pack/tensor-parts.js'
import { copyChecked } from './copy-checked.js'
import type { MaterializeOptions, MaterializeResult } from './materialize.js'
import { openOutput } from './open-output.js'
import { type PlannedShard, planOutput } from './plan-output.js'

/**
 * Writes a full fine-tune: θ* with its kept entries.
 *
 * @param pack - the open family
 * @param opened - one of its open tasks
 * @param folder - folder to write
 * @param options - force, signal, progress, threads, sync
 * @param device - where deltas are decoded
 * @returns what was written
 * @throws TaskfoldError as materialize does
 */
export async function materializeExact(
  pack: Pack,
  opened: PackTask,
  folder: string,
  options: MaterializeOptions,
  device: OpenedDevice,
): Promise<MaterializeResult> {
  const { signal, onProgress } = options
  const task = opened.name
  const plan = planOutput(pack, opened)
  const inputs = [...opened.merged.files, ...opened.files].map((file) => file.path)
  const output = await openOutput(pack.folder, folder, plan.totalBytes, inputs, options)
  const progress = createProgress(onProgress, 'materialize', plan.totalBytes)
  try {
    let done = 0
    for (const shard of plan.shards) {
      await writeShard(opened, shard, output.work, options, device, (bytes, tensor) =>
        progress.set(done + bytes, { task, tensor }),
      )
      done += shard.fileBytes
    }
    await copyChecked(plan.others, {
      family: pack.folder,
      work: output.work,
      task,
      signal,
      onBytes: (bytes) => progress.add(bytes, { task }),
    })
    if (plan.index) {
      const places = plan.shards.flatMap(({ name, tensors }) =>
        tensors.map(({ tensor }): [string, string] => [tensor.name, name]),
      )
      await writeShardIndex(output.work, new Map(places), plan.tensorBytes)
    }
    await assertUnchanged(opened.merged)
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
    device: device.device,
    deviceNote: device.deviceNote,
  }
}

async function writeShard(
  task: PackTask,
  shard: PlannedShard,
  work: string,
  options: MaterializeOptions,
  device: OpenedDevice,
  onBytes: (bytes: number, tensor?: string) => void,
): Promise<void> {
  const path = join(work, shard.name)
  const files = new NativeFiles()
  const sync = new BackgroundSync(native(), options.sync ?? true)
  try {
    const out = files.open(path, 'w')
    await callNative(() => native().allocateFile(out, shard.fileBytes), { context: { file: path } })
    const jobs = shard.tensors.flatMap(({ tensor, offset }) =>
      tensorParts(task, tensor).map((part) => ({
        part,
        out: { file: out, offset: offset + part.at, length: part.length },
      })),
    )
    await runParts(jobs, {
      files,
      task: task.name,
      signal: options.signal,
      threads: options.threads,
      device: device.set,
      onBytes(bytes) {
        sync.start(out)
        onBytes(shard.header.length + bytes)
      },
    })
    await writeRange(path, shard.header, 0)
    await sync.finish(out, options.signal)
  } finally {
    files.close()
  }
}
