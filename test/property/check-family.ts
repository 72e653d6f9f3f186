import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { fold } from '../../lib/fold/fold.js'
import { openFamily } from '../../lib/materialize/open-family.js'
import type { Manifest } from '../../lib/pack/manifest-types.js'
import type { DeltaHeader } from '../../lib/pack/pack-format.js'
import {
  type FamilyModel,
  type FamilyTensor,
  type RandomFamily,
  writeFamilyModel,
} from '../helpers/random-family.js'
import { deltaBytes, type ReferenceDelta } from '../reference/delta-encode.js'
import { fingerprintReference } from '../reference/fingerprint.js'
import { convertFloats } from '../reference/float-convert.js'
import { foldReference } from '../reference/fold-reference.js'
import { readEveryFile, readPlainCheckpoint, readPlainFile } from './read-folder.js'

/** How to fold a random family. */
export interface FamilySettings {
  lambda: number
  density: number
  scope: 'global' | 'tensor'
  index: 'auto' | 'u16' | 'bitmap' | 'rice'
  values: 'auto' | 'plain' | 'coded'
  dtype: 'keep' | 'f32' | 'f16' | 'bf16'
  rows: 'whole' | 'prefix'
  threads: number
}

/** Where the inputs of a family were written. */
export interface WrittenFamily {
  base: string
  tasks: { name: string; path: string }[]
}

/**
 * Writes base and tasks as checkpoint folders.
 *
 * @param folder - gets one folder a model
 * @param family - to write
 */
export function writeFamily(folder: string, family: RandomFamily): WrittenFamily {
  return {
    base: writeFamilyModel(join(folder, 'inputs', 'base'), family.base),
    tasks: family.tasks.map((task) => {
      return { name: task.name, path: writeFamilyModel(join(folder, 'inputs', task.name), task) }
    }),
  }
}

/**
 * Folds a written family with the product.
 *
 * @param written - its inputs
 * @param output - folder to write
 * @param family - for what its values need
 * @param settings - how to fold
 */
export async function foldWritten(
  written: WrittenFamily,
  output: string,
  family: RandomFamily,
  settings: FamilySettings,
): Promise<void> {
  await fold({ ...written, ...settings, output, nonFinite: family.wild ? 'keep' : 'error' })
}

/**
 * Folds and unfolds a family with the product and with the reference, and compares every byte.
 *
 * @param folder - an empty folder to work in
 * @param family - to fold
 * @param settings - how
 * @returns every difference, one line each; empty when all is well
 */
export async function checkFamily(
  folder: string,
  family: RandomFamily,
  settings: FamilySettings,
): Promise<string[]> {
  const written = writeFamily(folder, family)
  const before = readEveryFile(join(folder, 'inputs'))
  const output = join(folder, 'family')
  await foldWritten(written, output, family, settings)
  const folded = settings.rows === 'prefix' ? [...family.mergeable, ...family.tables] : family.mergeable
  const reference = foldReference(folded, settings)
  const dtypes = new Map(folded.map(({ name, dtype }) => [name, dtype]))
  const merged = restored(family.base, reference.merged, dtypes, family.aliases)
  const problems = checkMerged(join(output, 'merged'), family.base, merged)
  problems.push(...checkFingerprints(output))
  const open = await openFamily(output)
  for (const [i, task] of family.tasks.entries()) {
    problems.push(...checkDelta(join(output, 'tasks', task.name, 'delta.safetensors'), reference.deltas[i]!))
    const wanted = restored(task, reference.unfolded[i]!, dtypes, family.aliases)
    const unfolded = join(folder, `unfolded-${task.name}`)
    await open.materialize(task.name, unfolded, { threads: settings.threads, sync: false })
    problems.push(...compareTensors(`unfolded ${task.name}`, readPlainCheckpoint(unfolded).tensors, wanted))
    if (readFileSync(join(unfolded, 'config.json'), 'utf8') !== task.config) {
      problems.push(`unfolded ${task.name}: config.json is not the task's`)
    }
    const streamed = new Map<string, FamilyTensor>()
    for await (const { name, dtype, shape, data } of open.tensors(task.name)) {
      streamed.set(name, { dtype, shape: [...shape], data })
    }
    problems.push(...compareTensors(`tensors of ${task.name}`, streamed, wanted))
  }
  open.close()
  const after = readEveryFile(join(folder, 'inputs'))
  for (const [path, bytes] of before)
    if (!after.get(path)?.equals(bytes)) problems.push(`input ${path} was changed`)
  if (after.size !== before.size) problems.push('files appeared among the inputs')
  return problems
}

/** A model with the reference's bytes in place of the folded tensors, or of the first rows of a table. */
function restored(
  model: FamilyModel,
  folded: Map<string, Uint8Array>,
  dtypes: Map<string, FloatDtype>,
  aliases: Map<string, string>,
): Map<string, FamilyTensor> {
  const out = new Map(model.tensors)
  for (const [name, bytes] of folded) {
    const own = model.tensors.get(name)!
    const dtype = dtypes.get(name)!
    const data = convertFloats(own.dtype as FloatDtype, dtype, own.data)
    data.set(bytes)
    out.set(name, { dtype, shape: own.shape, data })
  }
  for (const [name, of] of aliases) out.set(name, out.get(of)!)
  return out
}

function compareTensors(
  what: string,
  got: Map<string, FamilyTensor>,
  wanted: Map<string, FamilyTensor>,
): string[] {
  const problems: string[] = []
  for (const name of got.keys())
    if (!wanted.has(name)) problems.push(`${what}: ${name} does not belong there`)
  for (const [name, { dtype, shape, data }] of wanted) {
    const other = got.get(name)
    if (other === undefined) problems.push(`${what}: ${name} is missing`)
    else if (other.dtype !== dtype) problems.push(`${what}: ${name} is ${other.dtype}, not ${dtype}`)
    else if (String(other.shape) !== String(shape))
      problems.push(`${what}: ${name} is [${other.shape}], not [${shape}]`)
    else if (Buffer.compare(other.data, data) !== 0) {
      const at = data.findIndex((byte, i) => byte !== other.data[i])
      problems.push(`${what}: ${name} (${dtype} [${shape}]) differs at byte ${at} of ${data.length}`)
    }
  }
  return problems
}

/** Tensors of merged/, each in the file where the base has it. */
function checkMerged(folder: string, base: FamilyModel, wanted: Map<string, FamilyTensor>): string[] {
  const { tensors, files } = readPlainCheckpoint(folder)
  const problems = compareTensors('merged', tensors, wanted)
  for (const [file, names] of base.files) {
    for (const name of names) {
      if (files.get(name) !== file)
        problems.push(`merged: ${name} lies in ${files.get(name)}, the base has it in ${file}`)
    }
  }
  return problems
}

/** Sizes and fingerprints that family.json records. */
function checkFingerprints(folder: string): string[] {
  const manifest = JSON.parse(readFileSync(join(folder, 'family.json'), 'utf8')) as Manifest
  const problems: string[] = []
  for (const { path, bytes, fingerprint } of [manifest.merged!, ...manifest.tasks].flatMap(
    ({ files }) => files,
  )) {
    const content = readFileSync(join(folder, path))
    if (content.length !== bytes)
      problems.push(`family.json: ${path} has ${content.length} bytes, not ${bytes}`)
    if (fingerprintReference(content) !== fingerprint) problems.push(`family.json: fingerprint of ${path}`)
  }
  const recorded = new Map(Object.entries(manifest.merged!.tensors))
  for (const [name, { data }] of readPlainCheckpoint(join(folder, 'merged')).tensors) {
    if (recorded.get(name) !== fingerprintReference(data))
      problems.push(`family.json: fingerprint of merged ${name}`)
  }
  return problems
}

/** The stored arrays of every delta, padding included. */
function checkDelta(path: string, wanted: Map<string, ReferenceDelta>): string[] {
  const { metadata, tensors } = readPlainFile(path)
  const described = new Map(Object.entries((JSON.parse(metadata.taskfold!) as DeltaHeader).tensors))
  const problems: string[] = []
  for (const [name, delta] of wanted) {
    const entry = described.get(name)
    if (entry === undefined || (entry.kind !== 'delta' && entry.kind !== 'rows')) {
      problems.push(`${path}: ${name} is described as ${entry?.kind}`)
      continue
    }
    if (entry.kept !== delta.kept) problems.push(`${path}: ${name} keeps ${entry.kept}, not ${delta.kept}`)
    if (delta.kept === 0) continue
    if (delta.kept > 0 && (entry.values ?? 'plain') !== delta.values)
      problems.push(`${path}: ${name} has values ${entry.values}, not ${delta.values}`)
    if (delta.kept > 0 && entry.index !== delta.index)
      problems.push(`${path}: ${name} is coded ${entry.index}, not ${delta.index}`)
    // The stem may be left out when it is the name.
    const parts = (delta.index === 'all' ? ['value'] : ['value', 'index', 'blocks']).map(
      (part) => tensors.get(`${entry.stem ?? name}.${part}`)?.data,
    )
    if (parts.some((part) => part === undefined)) problems.push(`${path}: ${name} lacks an array`)
    else if (!Buffer.concat(parts as Uint8Array[]).equals(deltaBytes(delta))) {
      problems.push(`${path}: the arrays of ${name} differ`)
    }
  }
  return problems
}
