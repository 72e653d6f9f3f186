import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { sortNames } from '../checkpoint/names.js'
import { quoteName } from '../errors/quote-name.js'
import { adapterInvalid, adapterUnsupported } from './adapter-fault.js'
import type { LoraLayer } from './adapter-types.js'
import { factorShape } from './factor-shape.js'
import { matchPatterns } from './match-patterns.js'
import { parsePeftKey } from './peft-keys.js'
import { type PeftSettings, peftSettings } from './peft-settings.js'
import type { AdapterConfig } from './read-adapter-config.js'

interface Factors {
  a?: TensorInfo
  b?: TensorInfo
  embedding: boolean
}

/**
 * Finds the layers of a PEFT adapter, with the rank and the scale that PEFT would give them.
 *
 * @param checkpoint - adapter_model.safetensors
 * @param config - adapter_config.json
 * @returns layers in bytewise order of their modules, and the tensors that belong to none
 * @throws TaskfoldError ADAPTER_INVALID, ADAPTER_UNSUPPORTED
 */
export function peftLayers(
  checkpoint: Pick<Checkpoint, 'files' | 'tensors'>,
  config: AdapterConfig,
): { layers: LoraLayer[]; rest: TensorInfo[] } {
  const settings = peftSettings(config)
  const { factors, rest } = collect(checkpoint.tensors.values())
  const modules = sortNames([...factors.keys()])
  if (modules.length === 0) {
    const file = checkpoint.files[0]!.path
    throw adapterInvalid({ file }, 'it holds no factors (lora_A, lora_B): it is no LoRA adapter')
  }
  const rankOf = lookUp(settings.rankPatterns, settings.rank, modules, config.file, 'rank_pattern')
  const alphaOf = lookUp(settings.alphaPatterns, settings.alpha, modules, config.file, 'alpha_pattern')
  const layers = modules.map((module, i) =>
    layer(module, factors.get(module)!, { rank: rankOf[i]!, alpha: alphaOf[i]!, settings, config }),
  )
  return { layers, rest }
}

function collect(tensors: Iterable<TensorInfo>): { factors: Map<string, Factors>; rest: TensorInfo[] } {
  const factors = new Map<string, Factors>()
  const rest: TensorInfo[] = []
  let adapter: string | undefined
  for (const info of tensors) {
    const place = { file: info.file, tensor: info.name }
    const key = parsePeftKey(info.name)
    if (key.what === 'rest') {
      rest.push(info)
      continue
    }
    if (key.what === 'unsupported')
      throw adapterUnsupported(
        { ...place, hint: 'Merge the adapter into its base with PEFT, then use the merged model.' },
        `tensor ${quoteName(info.name)} ${key.reason}`,
      )
    if (key.what === 'invalid') throw adapterInvalid(place, `tensor ${quoteName(info.name)} ${key.reason}`)
    adapter ??= key.adapter
    if (key.adapter !== adapter) {
      const names = [adapter, key.adapter].map((name) => (name === '' ? 'no name' : quoteName(name)))
      throw adapterInvalid(
        { ...place, hint: 'Save each adapter into a folder of its own.' },
        `it holds several adapters: ${names.join(' and ')}`,
      )
    }
    const known = factors.get(key.module) ?? { embedding: key.embedding }
    if (known.embedding !== key.embedding)
      throw adapterInvalid(place, `module ${quoteName(key.module)} is both an embedding and a linear layer`)
    known[key.side] = info
    factors.set(key.module, known)
  }
  return { factors, rest }
}

function lookUp(
  patterns: PeftSettings['rankPatterns'],
  otherwise: number,
  modules: readonly string[],
  file: string,
  field: string,
): number[] {
  const keys = patterns.map(([key]) => key)
  return matchPatterns(keys, modules, { file, field }).map((i) => (i < 0 ? otherwise : patterns[i]![1]))
}

function layer(
  module: string,
  { a, b, embedding }: Factors,
  {
    rank,
    alpha,
    settings,
    config,
  }: { rank: number; alpha: number; settings: PeftSettings; config: AdapterConfig },
): LoraLayer {
  if (a === undefined || b === undefined) {
    const { file, name } = (a ?? b)!
    throw adapterInvalid(
      { file, tensor: name },
      `module ${quoteName(module)} has ${quoteName(name)} but no factor ${a === undefined ? 'A' : 'B'}`,
    )
  }
  const shape = factorShape(a, b)
  if (embedding && shape.kind !== 'linear')
    throw adapterInvalid({ file: a.file, tensor: a.name }, `tensor ${quoteName(a.name)} is no matrix`)
  if (shape.rank !== rank) {
    throw adapterInvalid(
      { file: a.file, tensor: a.name, hint: 'The scale would be wrong: repair r or rank_pattern.' },
      `tensor ${quoteName(a.name)} has rank ${shape.rank}, but ${config.file} gives its module rank ${rank}`,
    )
  }
  const scale = alpha / (settings.rslora ? Math.sqrt(rank) : rank)
  return { module, ...shape, kind: embedding ? 'embedding' : shape.kind, alpha, scale, a, b }
}
