import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { openOutputFolder } from '../io/atomic-output.js'
import { createProgress, type OnProgress, type ProgressCounter } from '../io/progress.js'
import type { Dtype } from './checkpoint-types.js'
import { byteLength } from './dtypes.js'
import { layoutSafetensors } from './safetensors-layout.js'
import { DEFAULT_SHARD_BYTES, divideIntoShards, shardName, writeShardIndex } from './shard-layout.js'

/** One write: large enough for full disk speed, small enough that a cancel is noticed within milliseconds. */
const CHUNK_BYTES = 8 * 1024 * 1024

/** A tensor that is to be written. */
export interface TensorToWrite {
  /** Its name, unique in the checkpoint. */
  name: string
  /** Its dtype. */
  dtype: Dtype
  /** Row-major extents. */
  shape: readonly number[]
  /** Its bytes, little-endian, or a function that gives them when they are needed. */
  data: Uint8Array | (() => Promise<Uint8Array>)
}

/** How a checkpoint is written. */
export interface WriteCheckpointOptions {
  /** `__metadata__` of every file. `format: pt` is added, without which some loaders refuse the file. */
  metadata?: Readonly<Record<string, string>>
  /** Most bytes of tensors in one file. Default 5e9. */
  maxShardBytes?: number
  /** Replace an existing checkpoint. Default false. */
  force?: boolean
  /** Stops the writing; nothing is left behind. */
  signal?: AbortSignal
  /** Told about the bytes written. */
  onProgress?: OnProgress
}

interface PlannedTensor extends TensorToWrite {
  length: number
}

/**
 * Writes a checkpoint folder: model.safetensors, or shards with an index when the tensors have more bytes than one file
 * may. The folder appears under its name when it is complete.
 *
 * @param folder - path of the folder; missing parents are made
 * @param tensors - the tensors; shards are filled in this order
 * @param options - metadata, shard size, signal
 * @throws TaskfoldError OUTPUT_EXISTS, OUTPUT_BUSY, INVALID_ARGUMENT, DUPLICATE_TENSOR, TENSOR_SIZE_MISMATCH when data
 * has another length than dtype and shape say, SIZE_OVERFLOW, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function writeCheckpoint(
  folder: string,
  tensors: readonly TensorToWrite[],
  options: WriteCheckpointOptions = {},
): Promise<void> {
  const { signal, maxShardBytes = DEFAULT_SHARD_BYTES } = options
  throwIfAborted(signal)
  if (!(maxShardBytes > 0)) {
    throw new TaskfoldError('INVALID_ARGUMENT', `maxShardBytes is ${maxShardBytes}, not a positive number`)
  }
  const metadata = { ...options.metadata, format: 'pt' }
  // Checks names, dtypes and shapes over all shards at once, before anything is made.
  layoutSafetensors(tensors, null)
  const planned = tensors.map((tensor) => ({ ...tensor, length: byteLength(tensor.dtype, tensor.shape) }))
  for (const { data, name, length } of planned)
    if (typeof data !== 'function') assertLength(name, data, length)
  const shards = divideIntoShards(planned, maxShardBytes)
  const totalBytes = planned.reduce((sum, { length }) => sum + length, 0)

  const output = await openOutputFolder(folder, { force: options.force })
  try {
    const progress = createProgress(options.onProgress, 'copy', totalBytes)
    const weightMap = new Map<string, string>()
    for (const [i, shard] of shards.entries()) {
      const name = shardName(i + 1, shards.length)
      await writeShard(join(output.work, name), shard, metadata, progress, signal)
      for (const tensor of shard) weightMap.set(tensor.name, name)
    }
    if (shards.length > 1) await writeShardIndex(output.work, weightMap, totalBytes)
    throwIfAborted(signal)
    await output.commit(signal)
    progress.done()
  } catch (error) {
    await output.discard()
    throw toTaskfoldError(error, { file: folder, action: 'write' })
  }
}

async function writeShard(
  path: string,
  tensors: readonly PlannedTensor[],
  metadata: Readonly<Record<string, string>>,
  progress: ProgressCounter,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { header, offsets } = layoutSafetensors(tensors, metadata)
  const handle = await open(path, 'wx')
  try {
    await writeAt(handle, header, 0, signal)
    for (const { name, data, length } of tensors) {
      throwIfAborted(signal)
      const bytes = typeof data === 'function' ? await produce(name, data) : data
      assertLength(name, bytes, length)
      await writeAt(handle, bytes, offsets.get(name)!, signal)
      progress.add(length, { tensor: name })
    }
  } finally {
    await handle.close()
  }
}

async function produce(name: string, data: () => Promise<Uint8Array>): Promise<Uint8Array> {
  try {
    return await data()
  } catch (cause) {
    const error = toTaskfoldError(cause, { tensor: name })
    if (error.code !== 'INTERNAL') throw error
    // Not a bug of ours: the function belongs to the caller.
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `the data function of tensor ${quoteName(name)} failed: ${reason}`,
      {
        tensor: name,
        cause,
      },
    )
  }
}

async function writeAt(
  handle: FileHandle,
  bytes: Uint8Array,
  offset: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  let done = 0
  while (done < bytes.byteLength) {
    throwIfAborted(signal)
    const step = Math.min(CHUNK_BYTES, bytes.byteLength - done)
    done += (await handle.write(bytes, done, step, offset + done)).bytesWritten
  }
}

function assertLength(name: string, data: Uint8Array, length: number): void {
  if (data instanceof Uint8Array && data.byteLength === length) return
  const got = data instanceof Uint8Array ? `${data.byteLength} bytes` : 'no Uint8Array'
  throw new TaskfoldError(
    'TENSOR_SIZE_MISMATCH',
    `the data of tensor ${quoteName(name)} are ${got}, but dtype and shape need ${length} bytes`,
    { tensor: name, hint: 'Give the bytes of all elements, in the tensor’s dtype.' },
  )
}
