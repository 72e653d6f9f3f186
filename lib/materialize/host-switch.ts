import type { ExchangeTensor } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { NativeFiles } from '../binding/native-files.js'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { type HostTask, makeTensor } from './host-task.js'

/** Memory of a model by the names of its tensors. */
export type HostMemory = ReadonlyMap<string, Uint8Array>

/**
 * Makes θ*'s memory another task's: exchanges the entries of the one that leaves and the one that enters. Not to be stopped
 * on the way: what a failure leaves is a mixture.
 *
 * @param merged - θ*
 * @param memory - holds the task that leaves
 * @param leave - the task that leaves; null: θ* itself
 * @param enter - the task that enters
 * @param threads - at most
 * @throws TaskfoldError IO_ERROR, FILE_TRUNCATED, PACK_INVALID, INTERNAL
 */
export async function switchHost(
  merged: Checkpoint,
  memory: HostMemory,
  leave: HostTask | null,
  enter: HostTask | null,
  threads?: number,
): Promise<void> {
  const files = new NativeFiles()
  try {
    const remade = new Set(enter?.remade.map(({ name }) => name))
    const copies = (leave?.remade ?? []).flatMap(({ name }) => {
      const from = merged.tensors.get(name)!
      return remade.has(name)
        ? []
        : [{ name, from: files.region(from), to: memory.get(name)!.subarray(0, from.length) }]
    })
    if (copies.length > 0)
      await callNative((control) => native().copyRegions({ copies }, control), { threads })
    const tensors = exchanges(memory, leave, enter)
    await callNative((control) => native().exchangeEntries({ tensors }, control), { threads })
    for (const { name, tensor } of enter?.remade ?? []) {
      const out = memory.get(name)!.subarray(0, tensor.byteLength)
      await makeTensor(enter!.task, tensor, out, { files, threads })
    }
  } finally {
    files.close()
  }
}

function exchanges(memory: HostMemory, leave: HostTask | null, enter: HostTask | null): ExchangeTensor[] {
  const tensors = new Map<string, ExchangeTensor>()
  for (const { name, itemSize, layer } of [...(leave?.held ?? []), ...(enter?.held ?? [])]) {
    const known = tensors.get(name)
    if (known === undefined) tensors.set(name, { name, target: memory.get(name)!, itemSize, layers: [layer] })
    else {
      known.layers.push(layer)
      if (layer.elements > 0) known.itemSize = itemSize
    }
  }
  return [...tensors.values()]
}
