import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { adapterInvalid } from './adapter-fault.js'
import type { LoraAdapter, LoraLayer } from './adapter-types.js'
import { PEFT_PREFIX } from './peft-keys.js'

/** The weight that a layer is laid over. */
export interface MatchedLayer {
  /** The adapter's. */
  readonly layer: LoraLayer
  /** In the base; floating. */
  readonly tensor: TensorInfo
  /** The weight is stored as [columns, rows]: the transpose of B·A is added. */
  readonly transposed: boolean
}

/** What an adapter changes of its base. */
export interface BaseMatch {
  /** By module. */
  readonly layers: ReadonlyMap<string, MatchedLayer>
  /** Tensors that the adapter has whole (modules_to_save, biases), by their name in the base, which may lack them. */
  readonly rest: ReadonlyMap<string, TensorInfo>
}

/**
 * Finds the base's weight of every layer of an adapter: `<module>.weight`. Bases are saved with or without the prefix of
 * the model inside (`model.`, `bert.`): when none of the modules is found, one prefix is added to or taken from all.
 *
 * @param adapter - an opened PEFT adapter
 * @param base - θ0
 * @returns the weights, and where the adapter's whole tensors belong
 * @throws TaskfoldError ADAPTER_INVALID naming the first module that does not fit, with all of them in `problems`
 */
export function matchBase(adapter: LoraAdapter, base: Checkpoint): BaseMatch {
  const rename = baseNames(adapter, base)
  const layers = new Map<string, MatchedLayer>()
  const problems: TaskfoldError[] = []
  for (const layer of adapter.layers) {
    const found = matchLayer(layer, rename(`${layer.module}.weight`), adapter, base)
    if (found instanceof TaskfoldError) problems.push(found)
    else layers.set(layer.module, found)
  }
  const [first] = problems
  if (first !== undefined && problems.length === 1) throw first
  if (first !== undefined) {
    const { code, message, file, tensor, hint } = first
    const text = `${message} (and ${problems.length - 1} more of its layers do not fit)`
    throw new TaskfoldError(code, text, { file, tensor, hint, problems })
  }
  return { layers, rest: matchRest(adapter, base, rename) }
}

function matchLayer(
  layer: LoraLayer,
  name: string,
  adapter: LoraAdapter,
  base: Checkpoint,
): MatchedLayer | TaskfoldError {
  const tensor = base.tensors.get(name)
  const place = {
    file: layer.b.file,
    tensor: layer.b.name,
    hint: 'Check that the adapter was trained on this base.',
  }
  const module = `module ${quoteName(layer.module)}`
  if (tensor === undefined) {
    return adapterInvalid(
      place,
      `${module} has no weight in the base ${base.source}, which has no ${quoteName(name)}`,
    )
  }
  if (!isFloatDtype(tensor.dtype)) {
    const hint = 'Give the base as it was before it was quantised.'
    return adapterInvalid(
      { ...place, hint },
      `${module} is laid over ${quoteName(name)} of ${base.source}, which is ${tensor.dtype}`,
    )
  }
  const transposed = orientation(layer, tensor.shape, adapter.config?.fan_in_fan_out === true)
  if (transposed !== null) return { layer, tensor, transposed }
  return adapterInvalid(
    place,
    `${module} makes a [${layer.rows}, ${layer.columns}] change, but ${quoteName(name)} of ${base.source} is [${tensor.shape.join(', ')}]`,
  )
}

/** Whether the weight is the transpose of B·A; null when it fits neither way. */
function orientation(
  { kind, rows, columns, a }: LoraLayer,
  shape: readonly number[],
  conv1d: boolean,
): boolean | null {
  const plain =
    shape[0] === rows && shape.slice(1).reduce((product, extent) => product * extent, 1) === columns
  // Kernels of one and three dimensions too: their factors have as many.
  if (kind === 'conv2d') return plain && shape.length === a.shape.length ? false : null
  if (shape.length !== 2) return null
  const turned = shape[0] === columns && shape[1] === rows
  // Tables are [vocabulary, dimension], and the factors of a table those of its transpose.
  if (kind === 'embedding') return turned ? true : null
  // A square weight fits both ways; PEFT writes down which one it is.
  if (conv1d && turned) return true
  return plain ? false : null
}

/** How a name of the adapter's model is written in the base. */
function baseNames(adapter: LoraAdapter, base: Checkpoint): (name: string) => string {
  const names = adapter.layers.map(({ module }) => `${module}.weight`)
  const same = (name: string) => name
  if (names.some((name) => base.tensors.has(name))) return same
  const first = names[0]!
  const found: ((name: string) => string)[] = []
  const tryOut = (rename: (name: string) => string) => {
    if (names.every((name) => base.tensors.has(rename(name)))) found.push(rename)
  }
  for (let dot = first.indexOf('.'); dot >= 0; dot = first.indexOf('.', dot + 1)) {
    const prefix = first.slice(0, dot + 1)
    if (names.every((name) => name.startsWith(prefix)))
      tryOut((name) => (name.startsWith(prefix) ? name.slice(prefix.length) : name))
  }
  for (const tensor of base.tensors.keys()) {
    if (!tensor.endsWith(`.${first}`)) continue
    const prefix = tensor.slice(0, -first.length)
    tryOut((name) => (base.tensors.has(`${prefix}${name}`) ? `${prefix}${name}` : name))
  }
  // Two ways that fit may mean two halves of a model, of which only one was tuned: better none than the wrong one.
  return found.length === 1 ? found[0]! : same
}

/** PEFT puts its own modules in between, and leaves their names out when it saves, depending on its version. */
const INSERTED = /\.(modules_to_save(\.default)?|base_layer)(?=\.)/g

function matchRest(
  adapter: LoraAdapter,
  base: Checkpoint,
  rename: (name: string) => string,
): Map<string, TensorInfo> {
  const rest = new Map<string, TensorInfo>()
  for (const info of adapter.rest) {
    const place = { file: info.file, tensor: info.name }
    if (!info.name.startsWith(PEFT_PREFIX)) {
      throw adapterInvalid(place, `tensor ${quoteName(info.name)} does not begin with ${PEFT_PREFIX}`)
    }
    const plain = info.name.slice(PEFT_PREFIX.length).replaceAll(INSERTED, '')
    const name = base.tensors.has(plain) ? plain : rename(plain)
    const other = rest.get(name)
    if (other !== undefined) {
      throw adapterInvalid(
        place,
        `${quoteName(other.name)} and ${quoteName(info.name)} are the same tensor of the model`,
      )
    }
    rest.set(name, info)
  }
  return rest
}
