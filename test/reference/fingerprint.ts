import { xxh3 } from './xxh3.js'

const LEAF = 262144

/**
 * The fingerprint of docs/FORMAT.md: XXH3-128 over the digests of all leaves; of nothing: that of the empty string.
 *
 * @param bytes - the whole region
 * @returns 32 hex digits
 */
export function fingerprintReference(bytes: Uint8Array): string {
  const digests: Buffer[] = []
  for (let at = 0; at < bytes.length; at += LEAF) digests.push(xxh3(bytes.subarray(at, at + LEAF)))
  return xxh3(Buffer.concat(digests)).toString('hex')
}
