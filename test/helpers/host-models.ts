import type { HostModel } from '../../lib/materialize/host-types.js'
import type { Family } from '../../lib/materialize/open-family.js'
import { wantedTensors } from './wanted-tensors.js'

/**
 * Every tensor in memory against the family's; what differs.
 *
 * @param family - the open family
 * @param model - loaded from it
 * @returns one line a difference
 */
export async function hostDifferences(family: Family, model: HostModel): Promise<string[]> {
  const wanted = await wantedTensors(family, model.task)
  const found: string[] = []
  if (String([...model.tensors.keys()]) !== String([...wanted.keys()])) found.push('names')
  for (const [name, { dtype, shape, data }] of wanted) {
    const got = model.tensors.get(name)
    if (got === undefined) continue
    if (got.name !== name || got.dtype !== dtype || String(got.shape) !== String(shape))
      found.push(`facts of ${name}`)
    if (!(got.data.buffer instanceof SharedArrayBuffer) || got.byteLength !== data.length)
      found.push(`memory of ${name}`)
    const bytes = Buffer.from(got.data.buffer, got.data.byteOffset, got.data.byteLength)
    if (!bytes.equals(data)) found.push(name)
  }
  return found
}
