import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { convertFloats, decodeFloats, FLOAT_DTYPES, FLOAT_FIELDS } from '../reference/float-convert.js'
import type { ReferenceTensor } from '../reference/fold-reference.js'
import type { Random } from './random.js'
import { FLOAT_KINDS, type FloatKind, randomFloats, sprinkleNan, tunedFloats } from './random-floats.js'
import { tinySafetensors, tinySharded } from './tiny-checkpoint.js'

/** A tensor in memory. */
export interface FamilyTensor {
  dtype: string
  shape: number[]
  data: Uint8Array
}

/** A model in memory: its tensors, and the names in each file. */
export interface FamilyModel {
  name: string
  tensors: Map<string, FamilyTensor>
  /** File name → tensor names; one file, model.safetensors, is a checkpoint without index. */
  files: Map<string, string[]>
  /** Text of config.json. */
  config: string
}

/** Base, fine-tunes, and what all of them share. */
export interface RandomFamily {
  base: FamilyModel
  tasks: FamilyModel[]
  /** Floating tensors that base and all tasks have with one shape, in the storage dtype asked for. */
  mergeable: ReferenceTensor[]
  /** Tables whose first rows all models share, cut to these rows; folded with rows: 'prefix'. */
  tables: ReferenceTensor[]
  /** Tied tensors: name → the name that is stored. Equal in every model, and config.json says so. */
  aliases: Map<string, string>
  /** True when it holds NaN or ±Inf, so that it has to be folded with nonFinite keep. */
  wild: boolean
}

/** How large and how odd a family is. */
export interface FamilyOptions {
  tasks: number
  tensors: number
  /** Storage dtype of all mergeable tensors; null: the base's. */
  storage: FloatDtype | null
  wild?: boolean
}

const SHAPES = [[], [1], [0], [3, 0], [2, 3], [17], [64], [5, 13], [8, 8, 3], [1000], [33, 70]]
const LARGE_SHAPES = [[255, 257], [256, 256], [65537], [150, 500], [131073], [3, 65536]]
const NAMES = [
  'weight',
  'bias',
  'value',
  'index',
  'blocks',
  'weight.value',
  'weight~1',
  '__proto__',
  'constructor',
]
/** In UTF-16 order the last two change places. */
const ODD_NAMES = ['ä.weight', 'Z', 'a b', '"quoted"', '__proto__', '\uffee', '\u{1f600}']

const elementsOf = (shape: readonly number[]) => shape.reduce((product, extent) => product * extent, 1)

/**
 * A family with every role a tensor can have: shared, with another dtype in a task, resized, missing, extra, integer.
 *
 * @param random - source
 * @param options - size and oddities
 */
export function randomFamily(random: Random, options: FamilyOptions): RandomFamily {
  const kinds: readonly FloatKind[] = options.wild ? ['wild', 'few'] : FLOAT_KINDS
  const usual = random.pick(FLOAT_DTYPES)
  const base: FamilyModel = { name: 'base', tensors: new Map(), files: new Map(), config: '' }
  const tasks = Array.from({ length: options.tasks }, (_, i): FamilyModel => {
    return { name: `task-${i}`, tensors: new Map(), files: new Map(), config: '' }
  })
  const mergeable: ReferenceTensor[] = []
  for (let i = 0; i < options.tensors; i++) {
    const name = random.chance(0.2)
      ? `${random.pick(ODD_NAMES)}${i % 2 ? i : ''}`
      : `${random.pick(NAMES)}.${i}`
    if (base.tensors.has(name)) continue
    const dtype = random.chance(0.75) ? usual : random.pick(FLOAT_DTYPES)
    const shape = random.pick(random.chance(Math.min(0.15, 4 / options.tensors)) ? LARGE_SHAPES : SHAPES)
    const kind = random.pick(kinds)
    const start = randomFloats(random, dtype, elementsOf(shape), kind)
    if (options.wild && random.chance(0.3)) sprinkleNan(random, dtype, start)
    base.tensors.set(name, { dtype, shape, data: start })
    for (const task of tasks) {
      const own = random.chance(0.06) ? random.pick(FLOAT_DTYPES) : dtype
      const changed = random.pick([0, 0.01, 0.5, 1])
      const step = FLOAT_FIELDS[dtype].bytes === 1 ? 1 : 0.01
      const data =
        kind === 'bits' || kind === 'tiny'
          ? convertFloats(dtype, own, randomFloats(random, dtype, elementsOf(shape), kind))
          : tunedFloats(random, decodeFloats(dtype, start), own, { changed, step, few: kind === 'few' })
      if (options.wild && random.chance(0.3)) sprinkleNan(random, own, data)
      task.tensors.set(name, { dtype: own, shape, data })
    }
    mergeable.push(asMergeable(name, base, tasks, options.storage))
  }
  addUnshared(random, base, tasks)
  const { tied, broken } = addTied(random, base, tasks)
  for (const [name, storage] of [
    ['embed.weight', true],
    ['lm_head.weight', !tied || broken],
  ] as const) {
    if (storage) mergeable.push(asMergeable(name, base, tasks, options.storage))
  }
  const aliases = new Map(tied && !broken ? [['lm_head.weight', 'embed.weight']] : [])
  const tables = ['embeddings', 'head.weight'].map((name) => commonRows(name, base, tasks, options.storage))
  for (const model of [base, ...tasks]) chooseFiles(random, model)
  return { base, tasks, mergeable, tables, aliases, wild: options.wild ?? false }
}

/** Heads, resized tables, integer buffers, tensors that one side lacks. */
function addUnshared(random: Random, base: FamilyModel, tasks: FamilyModel[]): void {
  const floats = (shape: number[], dtype: FloatDtype = 'F32'): FamilyTensor => {
    return { dtype, shape, data: randomFloats(random, dtype, elementsOf(shape), 'normal') }
  }
  const integers = (dtype: string, bytes: number, count: number): FamilyTensor => {
    return { dtype, shape: [count], data: Uint8Array.from({ length: bytes * count }, () => random.below(3)) }
  }
  const same = integers('I64', 8, 5)
  base.tensors.set('position_ids', same)
  base.tensors.set('steps', integers('I32', 4, 1))
  base.tensors.set('mask', integers('BOOL', 1, 13))
  base.tensors.set('double', { dtype: 'F64', shape: [3], data: new Uint8Array(24).fill(1) })
  base.tensors.set('head.weight', floats([4, 6], 'BF16'))
  base.tensors.set('embeddings', floats([20, 3]))
  if (random.chance(0.5)) base.tensors.set('pooler.of.the.base', floats([7]))
  tasks.forEach((task, i) => {
    task.tensors.set('position_ids', same)
    task.tensors.set('steps', integers('I32', 4, 1))
    task.tensors.set('mask', integers('BOOL', 1, 13))
    task.tensors.set('double', { dtype: 'F64', shape: [3], data: new Uint8Array(24).fill(i) })
    task.tensors.set('head.weight', floats([2 + i, 6], 'BF16'))
    task.tensors.set('embeddings', floats([i === 0 ? 21 : 20, 3]))
    if (random.chance(0.5))
      task.tensors.set(`own.${i}.bias`, floats([random.below(5)], random.pick(FLOAT_DTYPES)))
  })
  // One tensor that a single task lacks: none can be merged then.
  base.tensors.set('dropped', floats([9]))
  tasks.forEach((task, i) => {
    if (i !== 0) task.tensors.set('dropped', floats([9]))
  })
}

/** Two tables with the same bytes, tied by the config, not tied, or tied with one task that breaks it. */
function addTied(
  random: Random,
  base: FamilyModel,
  tasks: FamilyModel[],
): { tied: boolean; broken: boolean } {
  const tied = random.chance(0.5)
  const broken = random.chance(0.3)
  for (const model of [base, ...tasks]) {
    const table: FamilyTensor = {
      dtype: 'F16',
      shape: [11, 4],
      data: randomFloats(random, 'F16', 44, 'normal'),
    }
    model.tensors.set('embed.weight', table)
    const other = broken && model === tasks.at(-1) ? randomFloats(random, 'F16', 44, 'normal') : table.data
    model.tensors.set('lm_head.weight', { ...table, data: other })
    model.config = JSON.stringify({ name: model.name, tie_word_embeddings: tied })
  }
  return { tied, broken }
}

function asMergeable(
  name: string,
  base: FamilyModel,
  tasks: FamilyModel[],
  storage: FloatDtype | null,
): ReferenceTensor {
  const [first, ...others] = [base, ...tasks].map((model) => {
    const { dtype, data } = model.tensors.get(name)!
    return { dtype: dtype as FloatDtype, bytes: data }
  })
  return { name, dtype: storage ?? first!.dtype, base: first!, tasks: others }
}

function commonRows(
  name: string,
  base: FamilyModel,
  tasks: FamilyModel[],
  storage: FloatDtype | null,
): ReferenceTensor {
  const all = [base, ...tasks].map((model) => model.tensors.get(name)!)
  const rows = Math.min(...all.map(({ shape }) => shape[0]!))
  const cut = ({ dtype, shape, data }: FamilyTensor) => {
    return { dtype: dtype as FloatDtype, bytes: data.subarray(0, (data.length / shape[0]!) * rows) }
  }
  const [first, ...others] = all
  return { name, dtype: storage ?? (first!.dtype as FloatDtype), base: cut(first!), tasks: others.map(cut) }
}

function chooseFiles(random: Random, model: FamilyModel): void {
  const names = random.shuffled([...model.tensors.keys()])
  const count = random.pick([1, 1, 2, 3])
  if (count === 1) {
    model.files.set('model.safetensors', names)
    return
  }
  for (let i = 1; i <= count; i++) {
    const file = `model-0000${i}-of-0000${count}.safetensors`
    model.files.set(
      file,
      names.filter((_, j) => j % count === i - 1),
    )
  }
}

/**
 * Writes a model as a checkpoint folder, tensors in the shuffled order of its files.
 *
 * @param folder - made here
 * @param model - to write
 * @returns the folder
 */
export function writeFamilyModel(folder: string, model: FamilyModel): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'config.json'), model.config)
  const shards: Record<string, Map<string, FamilyTensor>> = {}
  for (const [file, names] of model.files)
    shards[file] = new Map(names.map((name) => [name, model.tensors.get(name)!]))
  if (model.files.size > 1) return tinySharded(folder, shards)
  const [file, tensors] = Object.entries(shards)[0]!
  writeFileSync(join(folder, file), tinySafetensors({ tensors, metadata: { format: 'pt' } }))
  return folder
}
