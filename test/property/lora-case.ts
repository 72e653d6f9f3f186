import { join } from 'node:path'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import type { FoldOptions } from '../../lib/fold/fold-options.js'
import { floats } from '../helpers/lora-models.js'
import { type Random, seededRandom } from '../helpers/random.js'
import type { TinyTensor } from '../helpers/tiny-checkpoint.js'
import { type TinyFactors, type TinyLayer, writePeftAdapter } from '../helpers/write-adapter.js'
import { writeModel } from '../helpers/write-model.js'

/** One random LoRA task, and what PEFT would make of it. */
export interface LoraTaskCase {
  name: string
  path: string
  factors: Map<string, TinyFactors>
  layers: Record<string, TinyLayer>
  scale: (rank: number) => number
  fanInFanOut: boolean
  /** Tensors that it has whole, by their name in the model. */
  whole: Record<string, TinyTensor>
}

/** A random family of full fine-tunes and adapters over one base. */
export interface LoraCase {
  label: string
  base: string
  tensors: Record<string, TinyTensor>
  /** Name of a module in front of which the base has something more, or less. */
  baseName: (name: string) => string
  dtype: FloatDtype
  lora: LoraTaskCase[]
  full: { name: string; path: string; tensors: Record<string, TinyTensor> }[]
  options: Pick<FoldOptions, 'rank' | 'energy' | 'maxRank' | 'copyBase' | 'threads'>
}

const DTYPES: FloatDtype[] = ['F32', 'F32', 'F16', 'BF16']

/**
 * Writes a random family.
 *
 * @param folder - gets the models
 * @param seed - decides everything
 */
export function loraCase(folder: string, seed: number): LoraCase {
  const random = seededRandom(seed)
  const dtype = random.pick(DTYPES)
  const turned = random.chance(0.3)
  const naming = random.pick(['same', 'same', 'added', 'stripped'] as const)
  const modules = randomModules(random, naming === 'stripped')
  const baseName = (name: string) =>
    naming === 'added' ? `model.${name}` : naming === 'stripped' ? name.replace(/^net\./, '') : name
  const tensors: Record<string, TinyTensor> = { ids: { dtype: 'I64', shape: [3], data: [1, 2, 3] } }
  for (const [module, layer] of Object.entries(modules)) {
    tensors[baseName(`${module}.weight`)] = floats(random, dtype, weightShape(layer, turned))
  }
  tensors[baseName('norm.bias')] = floats(random, dtype, [4])
  const names = random.shuffled(Object.keys(tensors))
  const cut = random.chance(0.5) ? 1 + random.below(names.length - 1) : names.length
  const part = (some: string[]) => Object.fromEntries(some.map((name) => [name, tensors[name]!]))
  const files = { 'config.json': '{}' }
  const write = (name: string, model: Record<string, TinyTensor>) =>
    writeModel(join(folder, name), { tensors: model, files })
  const base =
    cut < names.length
      ? writeModel(join(folder, 'base'), {
          shards: {
            'model-00001-of-00002.safetensors': part(names.slice(0, cut)),
            'model-00002-of-00002.safetensors': part(names.slice(cut)),
          },
          files,
        })
      : write('base', tensors)
  const lora = Array.from({ length: 1 + random.below(3) }, (_, i) =>
    randomAdapter(random, join(folder, `lora${i}`), `lora${i}`, {
      modules,
      baseName,
      turned,
      dtype,
      seed: seed * 100 + i,
    }),
  )
  const full = Array.from({ length: random.below(3) }, (_, i) => {
    const tuned = Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => {
        return [name, tensor.dtype === 'I64' ? tensor : floats(random, dtype, tensor.shape)]
      }),
    )
    return { name: `full${i}`, path: write(`full${i}`, tuned), tensors: tuned }
  })
  const rule = random.pick([
    {},
    { rank: 1 },
    { rank: 3 },
    { energy: 0.9 },
    { energy: 1 },
    { energy: 0.5, maxRank: 2 },
  ])
  const options = { ...rule, copyBase: random.chance(0.5), threads: random.pick([1, 2, 5]) }
  const label = `seed ${seed}: ${JSON.stringify({ dtype, turned, naming, ...options, full: full.length, lora: lora.length })}`
  return { label, base, tensors, baseName, dtype, lora, full, options }
}

function randomModules(random: Random, prefixed: boolean): Record<string, TinyLayer> {
  const modules: Record<string, TinyLayer> = {}
  const count = 2 + random.below(5)
  for (let i = 0; i < count; i++) {
    const kind = random.pick(['linear', 'linear', 'linear', 'conv2d', 'embedding'] as const)
    const rows = 1 + random.below(40)
    const columns = kind === 'linear' && random.chance(0.2) ? rows : 1 + random.below(40)
    modules[`${prefixed ? 'net.' : ''}block${i}.${kind}`] = { kind, rows, columns, rank: 1 }
  }
  return modules
}

function weightShape({ kind, rows, columns }: TinyLayer, turned: boolean): number[] {
  if (kind === 'conv2d') return [rows, columns, 3, 3]
  return kind === 'embedding' || turned ? [columns, rows] : [rows, columns]
}

interface AdapterFrame {
  modules: Record<string, TinyLayer>
  baseName: (name: string) => string
  turned: boolean
  dtype: FloatDtype
  seed: number
}

function randomAdapter(
  random: Random,
  path: string,
  name: string,
  { modules, baseName, turned, dtype, seed }: AdapterFrame,
): LoraTaskCase {
  const chosen = random.shuffled(Object.keys(modules)).slice(0, 1 + random.below(Object.keys(modules).length))
  const r = 1 + random.below(6)
  const layers = Object.fromEntries(chosen.map((module) => [module, { ...modules[module]!, rank: r }]))
  const alpha = random.pick([1, 4, 16, -2])
  const rslora = random.chance(0.3)
  const whole: Record<string, TinyTensor> = {}
  const rest: Record<string, TinyTensor> = {}
  if (random.chance(0.4)) {
    const tensor = floats(random, dtype, [4])
    whole[baseName('norm.bias')] = tensor
    rest[`base_model.model.norm.${random.chance(0.5) ? 'modules_to_save.' : ''}bias`] = tensor
  }
  const factors = writePeftAdapter(path, {
    layers,
    dtype: random.pick(DTYPES),
    seed,
    rest,
    config: { r, lora_alpha: alpha, use_rslora: rslora, fan_in_fan_out: turned },
  })
  const scale = (rank: number) => alpha / (rslora ? Math.sqrt(rank) : rank)
  return { name, path, factors, layers, scale, fanInFanOut: turned, whole }
}
