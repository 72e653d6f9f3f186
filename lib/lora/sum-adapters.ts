import { compareNames } from '../checkpoint/names.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { AdapterWarning, LoraAdapter, LoraLayer } from './adapter-types.js'
import type { LayerSum } from './truncate-layers.js'

/** An adapter and the number that its change of the base is multiplied with. */
export interface WeightedAdapter {
  name: string
  adapter: LoraAdapter
  coefficient: number
}

/** One module of the sum of several adapters. */
export interface SummedLayer extends LayerSum {
  /** The first adapter's layer of this module: kind and kernel are the same in all. */
  like: LoraLayer
  /** Σ rank: the sum is exact from here on. */
  rank: number
}

/**
 * Σ coefficient · s·B·A, module by module (LoRA task arithmetic). Nothing is computed: a sum of products is a product of
 * the factors side by side.
 *
 * @param adapters - PEFT adapters of one base
 * @returns the modules of all adapters, in bytewise order
 * @throws TaskfoldError ADAPTER_UNSUPPORTED for an adapter of another layout, ADAPTER_INVALID when two adapters have a
 * module with different shapes
 */
export function sumAdapters(adapters: readonly WeightedAdapter[]): SummedLayer[] {
  const sums = new Map<string, SummedLayer>()
  for (const { name, adapter, coefficient } of adapters) {
    if (adapter.format !== 'peft') {
      throw new TaskfoldError(
        'ADAPTER_UNSUPPORTED',
        `task ${name}: ${adapter.source} has the layout of kohya, whose names do not tell the base's tensors`,
        { file: adapter.source, task: name, hint: 'Convert it to PEFT first.' },
      )
    }
    for (const layer of adapter.layers) {
      const known = sums.get(layer.module)
      if (known === undefined) {
        const { module, rows, columns, rank } = layer
        sums.set(module, { module, rows, columns, rank, like: layer, parts: [{ layer, coefficient }] })
        continue
      }
      assertAlike(name, known.like, layer)
      known.parts.push({ layer, coefficient })
      known.rank += layer.rank
    }
  }
  return [...sums.values()].sort((a, b) => compareNames(a.module, b.module))
}

function assertAlike(task: string, first: LoraLayer, layer: LoraLayer): void {
  const kernel = (shape: readonly number[]) => shape.slice(1).join('×')
  if (
    first.rows === layer.rows &&
    kernel(first.a.shape) === kernel(layer.a.shape) &&
    first.kind === layer.kind
  )
    return
  throw new TaskfoldError(
    'ADAPTER_INVALID',
    `task ${task}: module ${quoteName(layer.module)} is ${layer.rows}×${kernel(layer.a.shape)}, ` +
      `in an earlier adapter it is ${first.rows}×${kernel(first.a.shape)}`,
    {
      file: layer.a.file,
      tensor: layer.a.name,
      task,
      hint: 'All adapters must have been made for one base.',
    },
  )
}

/**
 * Heads and other whole modules belong to one task; adding them up would mean nothing.
 *
 * @param adapters - the summed adapters
 * @returns a warning for each that has such tensors
 */
export function leftOutOfSum(adapters: readonly WeightedAdapter[]): AdapterWarning[] {
  return adapters.flatMap(({ name, adapter }): AdapterWarning[] => {
    if (adapter.rest.length === 0) return []
    const names = adapter.rest.slice(0, 3).map((tensor) => tensor.name)
    const more = adapter.rest.length > 3 ? ', …' : ''
    return [
      { kind: 'left-out', message: `task ${name}: whole modules are not merged: ${names.join(', ')}${more}` },
    ]
  })
}
