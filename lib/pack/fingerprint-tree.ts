import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { compareNames } from '../checkpoint/names.js'

/** One tensor of a model, by the fingerprint of its bytes. */
export interface FingerprintedTensor {
  name: string
  dtype: string
  shape: readonly number[]
  /** Of its bytes, 32 hex digits. */
  fingerprint: string
}

/**
 * Fingerprint of a model: of one line of JSON a tensor, [name, dtype, shape, fingerprint], in bytewise order of the
 * names. Independent of how the tensors are spread over files.
 *
 * @param tensors - all tensors of the model, in any order
 * @returns 32 hex digits
 */
export async function combineFingerprints(tensors: readonly FingerprintedTensor[]): Promise<string> {
  const lines = [...tensors]
    .sort((a, b) => compareNames(a.name, b.name))
    .map(({ name, dtype, shape, fingerprint }) => `${JSON.stringify([name, dtype, shape, fingerprint])}\n`)
  const bytes = new Uint8Array(Buffer.from(lines.join('')))
  const [result] = await callNative((control) => native().fingerprintRegions({ regions: [bytes] }, control))
  return result!
}
