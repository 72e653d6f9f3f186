import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { openInput } from '../io/open-input.js'
import { readRange } from '../io/read-range.js'
import type { Checkpoint, Dtype } from './checkpoint-types.js'

/** A tensor in memory. */
export interface Tensor {
  /** Its name. */
  name: string
  /** Its dtype. */
  dtype: Dtype
  /** Row-major extents. */
  shape: readonly number[]
  /** Its bytes, little-endian. */
  data: Uint8Array
}

/**
 * Reads one tensor of a checkpoint into memory.
 *
 * @param checkpoint - what `readCheckpoint` gave
 * @param name - the tensor's name
 * @param options - a signal that stops between two chunks of 8 MiB
 * @returns the tensor with a copy of its bytes
 * @throws TaskfoldError NOT_FOUND, FILE_TRUNCATED when the file became shorter, OUT_OF_MEMORY when it does not fit into
 * one buffer, IO_ERROR, CANCELLED
 */
export async function readTensor(
  checkpoint: Pick<Checkpoint, 'source' | 'tensors'>,
  name: string,
  options: { signal?: AbortSignal } = {},
): Promise<Tensor> {
  const tensor = checkpoint.tensors.get(name)
  if (!tensor) {
    throw new TaskfoldError('NOT_FOUND', `${checkpoint.source} has no tensor ${quoteName(name)}`, {
      file: checkpoint.source,
      tensor: name,
      hint: 'taskfold inspect lists the tensors.',
    })
  }
  const { dtype, shape, file, offset, length } = tensor
  const { handle } = await openInput(file)
  try {
    const data = await readRange(handle, offset, length, { file, tensor: name, signal: options.signal })
    return { name, dtype, shape, data }
  } finally {
    await handle.close()
  }
}
