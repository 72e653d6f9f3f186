import { join } from 'node:path'
import type { LoadedModel } from '../../lib/materialize/load-types.js'
import { type Family, openFamily } from '../../lib/materialize/open-family.js'
import { type NaiveFamily, naivePack } from './naive-pack.js'
import { sampleFamily } from './sample-family.js'
import { wantedTensors } from './wanted-tensors.js'

/** Every tensor on the device against the CPU's; names that differ. */
export async function differences(family: Family, model: LoadedModel): Promise<string[]> {
  const wanted = await wantedTensors(family, model.task)
  const found: string[] = []
  if (String([...model.tensors.keys()]) !== String([...wanted.keys()])) found.push('names')
  for (const [name, { dtype, shape, data }] of wanted) {
    const got = await model.read(name)
    const facts = model.tensors.get(name)!
    if (!Buffer.from(got.data).equals(data)) found.push(name)
    if (got.dtype !== dtype || String(got.shape) !== String(shape)) found.push(`facts of ${name}`)
    if (facts.byteLength !== data.length || facts.pointer % 256n !== 0n) found.push(`place of ${name}`)
  }
  return found
}

/** An open family with every kind of tensor. */
export async function openSample(folder: string): Promise<Family> {
  return openFamily(await naivePack(join(folder, 'family'), sampleFamily()))
}

/** One large tensor a task, so that memory is short soon: θ* has 8 MiB, a task 16 MiB. */
export function largeFamily(tasks: string[]): NaiveFamily {
  const merged = { name: 'm', dtype: 'U8', shape: [8 << 20], data: new Uint8Array(8 << 20).fill(7) }
  return {
    merged: { 'model.safetensors': [merged] },
    tasks: Object.fromEntries(
      tasks.map((name, i) => {
        const data = new Uint8Array(16 << 20).fill(i + 1)
        const whole = { kind: 'whole' as const, name: 'w', dtype: 'U8', shape: [16 << 20], data }
        return [
          name,
          { tensors: [whole, { kind: 'same' as const, name: 'm', dtype: 'U8', shape: [8 << 20] }] },
        ]
      }),
    ),
  }
}
