import type { Checkpoint, Dtype, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { compareNames } from '../checkpoint/names.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { LoraLayer } from '../lora/adapter-types.js'
import { matchBase } from '../lora/match-base.js'
import { assertPlainBase } from '../lora/plain-base.js'
import type { WeightedAdapter } from '../lora/sum-adapters.js'

/** One tensor of a base with an adapter merged into it. */
export interface MergedTensor {
  name: string
  dtype: Dtype
  shape: readonly number[]
  /** Bytes. */
  length: number
  /** The base's tensor, or the one that the adapter has instead. */
  from: TensorInfo
  /** Products that are added to `from`; empty: its bytes stay. */
  products: { layer: LoraLayer; transposed: boolean; coefficient: number }[]
}

/**
 * Tells what every tensor of the merged model is made of: the base's tensors with coefficient · s·B·A added, those that
 * the adapter has whole in their place. Of several adapters the whole tensors are left out: heads belong to one task.
 *
 * @param adapters - the opened adapters
 * @param base - θ0
 * @returns all tensors, in bytewise order of their names
 * @throws TaskfoldError ADAPTER_INVALID when it does not fit the base, ADAPTER_UNSUPPORTED
 */
export function mergedTensors(
  adapters: readonly WeightedAdapter[],
  base: Checkpoint,
): Map<string, MergedTensor> {
  const matches = adapters.map(({ adapter, coefficient }) => {
    assertPlainBase(adapter)
    return { ...matchBase(adapter, base), coefficient }
  })
  const tensors = new Map<string, MergedTensor>()
  for (const info of base.tensors.values()) tensors.set(info.name, plain(info.name, info))
  const [only] = matches
  if (only !== undefined && matches.length === 1)
    for (const [name, info] of only.rest) tensors.set(name, plain(name, info))
  for (const { layers, coefficient } of matches) {
    for (const { layer, tensor, transposed } of layers.values()) {
      const target = tensors.get(tensor.name)!
      if (!fits(target.from, tensor)) {
        throw new TaskfoldError(
          'ADAPTER_INVALID',
          `${layer.b.file}: ${quoteName(tensor.name)} is stored whole as ${target.dtype} [${target.shape.join(', ')}], ` +
            `and module ${quoteName(layer.module)} changes it too`,
          {
            file: layer.b.file,
            tensor: target.from.name,
            hint: 'merge the adapter with PEFT (merge_and_unload)',
          },
        )
      }
      target.products.push({ layer, transposed, coefficient })
    }
  }
  return new Map([...tensors].sort(([a], [b]) => compareNames(a, b)))
}

function plain(name: string, from: TensorInfo): MergedTensor {
  const { dtype, shape, length } = from
  return { name, dtype, shape, length, from, products: [] }
}

/** A layer's own weight, when the adapter has it whole too (a table with saved rows), must be one of the same shape. */
function fits(found: TensorInfo, wanted: TensorInfo): boolean {
  return (
    isFloatDtype(found.dtype) &&
    found.shape.length === wanted.shape.length &&
    found.shape.every((extent, i) => extent === wanted.shape[i])
  )
}
