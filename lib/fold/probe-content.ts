import { open } from 'node:fs/promises'
import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'

/** Bytes read at the start, the middle and the end of a tensor to see whether it may equal another. */
const PROBE_BYTES = 64

/**
 * Reads a few bytes of every tensor: enough to rule out nearly all pairs that differ.
 *
 * @param checkpoint - where the tensors are
 * @param tensors - which to look at
 * @param signal - stops between files
 * @returns a key per tensor name
 */
export async function probeContent(
  checkpoint: Checkpoint,
  tensors: readonly TensorInfo[],
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const keys = new Map<string, string>()
  for (const file of checkpoint.files) {
    const here = tensors.filter((tensor) => tensor.file === file.path)
    if (here.length === 0) continue
    throwIfAborted(signal)
    const handle = await open(file.path, 'r')
    try {
      for (const tensor of here) {
        const length = Math.min(PROBE_BYTES, tensor.length)
        const last = tensor.length - length
        const probe = Buffer.alloc(3 * length)
        for (const [i, at] of [0, Math.floor(last / 2), last].entries()) {
          await handle.read(probe, i * length, length, tensor.offset + at)
        }
        keys.set(tensor.name, `${tensor.dtype}[${tensor.shape.join(',')}]:${probe.toString('base64')}`)
      }
    } finally {
      await handle.close()
    }
  }
  return keys
}
