import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'

/**
 * Reads a small safetensors file into memory. On purpose it shares no code with taskfold, so that the demo judges
 * taskfold's output with other eyes.
 *
 * @param {string} path the file
 * @returns {Map<string, { dtype: string, shape: number[], offset: number, bytes: Uint8Array }>} tensors by name; offset
 *   counts from the start of the file
 */
export function readSafetensors(path) {
  const file = readFileSync(path)
  const headerLength = Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerLength))
  const tensors = new Map()
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const offset = 8 + headerLength + entry.data_offsets[0]
    const end = 8 + headerLength + entry.data_offsets[1]
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, offset, bytes: file.subarray(offset, end) })
  }
  return tensors
}

/**
 * Copies an F32 tensor's bytes into a Float32Array.
 *
 * @param {{ dtype: string, bytes: Uint8Array } | undefined} tensor a tensor of {@link readSafetensors}
 * @param {string} name for the error message
 * @returns {Float32Array} the values, row-major
 */
export function float32Values(tensor, name) {
  if (tensor?.dtype !== 'F32')
    throw new Error(`${name}: expected an F32 tensor, found ${tensor?.dtype ?? 'none'}`)
  if (endianness() !== 'LE') throw new Error('this demo needs a little-endian machine')
  return new Float32Array(Uint8Array.from(tensor.bytes).buffer)
}
