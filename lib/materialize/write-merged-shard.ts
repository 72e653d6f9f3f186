import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { BackgroundSync } from '../binding/background-sync.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { writeShardIndex } from '../checkpoint/shard-layout.js'
import { writeRange } from '../io/write-range.js'
import { addProducts, type MergedJob } from './add-products.js'
import type { MergedShard } from './plan-merged.js'

/**
 * Writes one file of a merged model.
 *
 * @param shard - its layout
 * @param work - folder to write into
 * @param options - signal, and whether to wait for the disk
 * @param run - open files, threads, progress
 * @throws TaskfoldError as addProducts does
 */
export async function writeMergedShard(
  shard: MergedShard,
  work: string,
  { signal, sync: wait }: { signal?: AbortSignal; sync?: boolean },
  run: Parameters<typeof addProducts>[1],
): Promise<void> {
  const path = join(work, shard.name)
  const { files } = run
  await mkdir(dirname(path), { recursive: true })
  const out = files.open(path, 'w')
  await callNative(() => native().allocateFile(out, shard.fileBytes), { context: { file: path } })
  const sync = new BackgroundSync(native(), wait ?? true)
  const jobs = shard.tensors.map(({ tensor, offset }): MergedJob => {
    return { tensor, out: { file: out, offset, length: tensor.length } }
  })
  await addProducts(jobs, {
    ...run,
    onBytes(bytes) {
      sync.start(out)
      run.onBytes?.(bytes)
    },
  })
  await writeRange(path, shard.header, 0)
  await sync.finish(out, signal)
  files.closeFile(path)
}

/**
 * Writes the index of a merged model of several files.
 *
 * @param shards - all its files
 * @param work - folder to write into
 * @throws TaskfoldError DISK_FULL, IO_ERROR
 */
export async function writeMergedIndex(shards: readonly MergedShard[], work: string): Promise<void> {
  const places = shards.flatMap(({ name, tensors }) => tensors.map(({ tensor }) => ({ name, tensor })))
  const total = places.reduce((sum, { tensor }) => sum + tensor.length, 0)
  await writeShardIndex(work, new Map(places.map(({ name, tensor }) => [tensor.name, name])), total)
}
