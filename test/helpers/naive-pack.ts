import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { native } from '../../lib/binding/load-binding.js'

/**
 * Writes families from values that a test chose, with a few lines that share nothing with lib/pack: every array is
 * built from docs/FORMAT.md alone. Hooks let a test lie at every level.
 */

export interface NaiveTensor {
  name: string
  dtype: string
  shape: number[]
  data: Uint8Array
}

/** Positions are flat and ascending; values are the bytes of the kept entries, one after the other. */
export type NaiveTaskTensor =
  | {
      kind: 'delta'
      name: string
      dtype: string
      shape: number[]
      positions: number[]
      values: Uint8Array
      index: Code
      stem?: string
    }
  | {
      kind: 'rows'
      name: string
      dtype: string
      shape: number[]
      rows: number
      positions: number[]
      values: Uint8Array
      index: Code
      extra: Uint8Array
    }
  | { kind: 'whole'; name: string; dtype: string; shape: number[]; data: Uint8Array; stem?: string }
  | { kind: 'same'; name: string; dtype: string; shape: number[] }
  | { kind: 'alias'; name: string; dtype: string; shape: number[]; of: string }

type Code = 'u16' | 'bitmap'

export interface NaiveTask {
  tensors: NaiveTaskTensor[]
  files?: Record<string, string>
  sharedFiles?: string[]
  shards?: Record<string, string>
  metadata?: Record<string, string>
}

export interface NaiveFamily {
  /** File name in merged/ to its tensors. */
  merged: Record<string, NaiveTensor[]>
  mergedFiles?: Record<string, string>
  tasks: Record<string, NaiveTask>
}

/** Lies, applied to every task or to the manifest, just before the bytes are written. */
export interface NaiveHooks {
  stored?: (stored: NaiveTensor[], task: string) => void
  // biome-ignore lint/suspicious/noExplicitAny: lies have any shape
  header?: (header: any, task: string) => void
  /** Text of the header's JSON, when an object cannot hold the lie. */
  headerText?: (text: string, task: string) => string
  // biome-ignore lint/suspicious/noExplicitAny: lies have any shape
  manifest?: (manifest: any) => void
  manifestText?: (text: string) => string
}

/** Bytes per element; 0.5 for F4. */
export const itemBytes: Record<string, number> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F4: 0.5,
}

/** Writes the family; answers its folder. */
export async function naivePack(
  folder: string,
  family: NaiveFamily,
  hooks: NaiveHooks = {},
): Promise<string> {
  const put = (path: string, data: Uint8Array | string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), data)
    return entry(path, Buffer.from(data as string))
  }
  const names = Object.keys(family.merged).sort()
  const mergedFiles: Promise<Entry>[] = names.map((name) =>
    put(`merged/${name}`, safetensors(family.merged[name]!, { format: 'pt' })),
  )
  if (names.length > 1) {
    const places = names.flatMap((name) => family.merged[name]!.map((tensor) => [tensor.name, name]))
    const index = { metadata: { total_size: 1 }, weight_map: Object.fromEntries(places) }
    mergedFiles.push(put('merged/model.safetensors.index.json', JSON.stringify(index)))
  }
  for (const [name, text] of Object.entries(family.mergedFiles ?? {}))
    mergedFiles.push(put(`merged/${name}`, text))
  const fingerprints: [string, string][] = []
  for (const tensor of Object.values(family.merged).flat())
    fingerprints.push([tensor.name, await fingerprint(tensor.data)])
  const files = await Promise.all(mergedFiles)
  const tasks: unknown[] = []
  for (const [name, task] of Object.entries(family.tasks)) tasks.push(await writeTask(name, task, put, hooks))
  const manifest = {
    taskfold: { format: 1, version: '0.0.0' },
    method: {
      merge: 'task-arithmetic',
      lambda: 0.3,
      density: 0.1,
      scope: 'global',
      nonFinite: 'error',
      dtype: 'keep',
    },
    base: { name: 'base', bytes: 1, fingerprint: '0'.repeat(32) },
    merged: { bytes: total(files), files, tensors: Object.fromEntries(fingerprints) },
    tasks,
  }
  hooks.manifest?.(manifest)
  const text = JSON.stringify(manifest)
  writeFileSync(join(folder, 'family.json'), hooks.manifestText?.(text) ?? text)
  return folder
}

type Entry = { path: string; bytes: number; fingerprint: string }

async function writeTask(
  name: string,
  task: NaiveTask,
  put: (path: string, data: Uint8Array | string) => Promise<Entry>,
  hooks: NaiveHooks,
): Promise<unknown> {
  const stored = task.tensors.filter((tensor) => tensor.kind !== 'whole').flatMap(arrays)
  const wholes = task.tensors.flatMap(whole).sort((a, b) => itemBytes[b.dtype]! - itemBytes[a.dtype]!)
  const all = [...stored, ...wholes]
  hooks.stored?.(all, name)
  // A copy: lies about a shape must not reach the tensors themselves.
  const header = structuredClone({
    format: 1,
    codec: 'exact',
    task: name,
    tensors: Object.fromEntries(task.tensors.map(describe)),
  })
  hooks.header?.(header, name)
  const text = JSON.stringify(header)
  const delta = safetensors(all, { taskfold: hooks.headerText?.(text, name) ?? text })
  const files = [await put(`tasks/${name}/delta.safetensors`, delta)]
  for (const [file, content] of Object.entries(task.files ?? {}))
    files.push(await put(`tasks/${name}/${file}`, content))
  return {
    name,
    source: { name: `${name}-original`, bytes: 1 },
    codec: 'exact',
    kept: task.tensors.reduce(
      (sum, tensor) => sum + ('positions' in tensor ? tensor.positions.length : 0),
      0,
    ),
    elements: task.tensors.reduce((sum, tensor) => sum + ranked(tensor), 0),
    bytes: total(files),
    originalBytes: task.tensors.reduce(
      (sum, tensor) => sum + count(tensor.shape) * itemBytes[tensor.dtype]!,
      0,
    ),
    files,
    sharedFiles: task.sharedFiles,
    metadata: task.metadata ?? { format: 'pt' },
    shards: task.shards,
  }
}

function describe(tensor: NaiveTaskTensor): [string, unknown] {
  const { name, kind, dtype, shape } = tensor
  const common = { kind, dtype, shape }
  if (kind === 'same') return [name, common]
  if (kind === 'alias') return [name, { ...common, of: tensor.of }]
  if (kind === 'whole') return [name, { ...common, stem: tensor.stem }]
  const coded = { ...common, kept: tensor.positions.length, index: tensor.index }
  return [name, kind === 'rows' ? { ...coded, rows: tensor.rows } : { ...coded, stem: tensor.stem }]
}

function arrays(tensor: NaiveTaskTensor): NaiveTensor[] {
  if (!('positions' in tensor) || tensor.positions.length === 0) return []
  const { positions, values, dtype, index } = tensor
  const stem = 'stem' in tensor && tensor.stem !== undefined ? tensor.stem : tensor.name
  const elements = ranked(tensor)
  const starts = Array.from(
    { length: Math.ceil(elements / 65536) + 1 },
    (_, block) => positions.filter((position) => position < block * 65536).length,
  )
  const bits = new Uint8Array(Math.ceil(elements / 8))
  for (const position of positions) bits[position >> 3]! |= 1 << (position & 7)
  const u16 = new Uint8Array(new Uint16Array(positions.map((position) => position % 65536)).buffer)
  return [
    array(`${stem}.value`, dtype, values),
    index === 'u16' ? array(`${stem}.index`, 'U16', u16) : array(`${stem}.index`, 'U8', bits),
    array(`${stem}.blocks`, 'U32', new Uint8Array(new Uint32Array(starts).buffer)),
  ]
}

function whole(tensor: NaiveTaskTensor): NaiveTensor[] {
  const { dtype, shape } = tensor
  if (tensor.kind === 'whole') return [{ name: tensor.stem ?? tensor.name, dtype, shape, data: tensor.data }]
  if (tensor.kind !== 'rows') return []
  return [
    {
      name: `${tensor.name}.rows`,
      dtype,
      shape: [shape[0]! - tensor.rows, ...shape.slice(1)],
      data: tensor.extra,
    },
  ]
}

function array(name: string, dtype: string, bytes: Uint8Array): NaiveTensor {
  const data = new Uint8Array(Math.ceil(bytes.length / 8) * 8)
  data.set(bytes)
  return { name, dtype, shape: [data.length / itemBytes[dtype]!], data }
}

function safetensors(tensors: NaiveTensor[], metadata: Record<string, string>): Buffer {
  let at = 0
  const entries = tensors.map(({ name, dtype, shape, data }): [string, unknown] => {
    const begin = at
    at += data.length
    return [name, { dtype, shape, data_offsets: [begin, at] }]
  })
  const json = JSON.stringify(Object.fromEntries([['__metadata__', metadata], ...entries]))
  const header = Buffer.from(json.padEnd(json.length + ((8 - (Buffer.byteLength(json) % 8)) % 8)))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([length, header, ...tensors.map((tensor) => tensor.data)])
}

/** The tensors that unfolding must give, computed from the chosen values alone. */
export function naiveUnfold(family: NaiveFamily, task: string): Map<string, NaiveTensor> {
  const merged = new Map(
    Object.values(family.merged)
      .flat()
      .map((tensor) => [tensor.name, tensor.data]),
  )
  const unfolded = new Map<string, NaiveTensor>()
  const { tensors } = family.tasks[task]!
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor
    if (tensor.kind === 'alias') continue
    if (tensor.kind === 'whole') {
      unfolded.set(name, { name, dtype, shape, data: tensor.data })
      continue
    }
    const size = itemBytes[dtype]!
    const data = new Uint8Array(count(shape) * size)
    data.set(merged.get(name)!.subarray(0, tensor.kind === 'rows' ? ranked(tensor) * size : undefined))
    if (tensor.kind === 'rows') data.set(tensor.extra, ranked(tensor) * size)
    if ('positions' in tensor) {
      for (const [i, position] of tensor.positions.entries()) {
        data.set(tensor.values.subarray(i * size, (i + 1) * size), position * size)
      }
    }
    unfolded.set(name, { name, dtype, shape, data })
  }
  for (const tensor of tensors) {
    if (tensor.kind !== 'alias') continue
    const { name, dtype, shape, of } = tensor
    unfolded.set(name, { name, dtype, shape, data: unfolded.get(of)!.data })
  }
  return unfolded
}

/** Elements that a tensor's delta ranks over. */
function ranked(tensor: NaiveTaskTensor): number {
  if (tensor.kind === 'delta') return count(tensor.shape)
  return tensor.kind === 'rows' ? count([tensor.rows, ...tensor.shape.slice(1)]) : 0
}

function count(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

async function entry(path: string, data: Uint8Array): Promise<Entry> {
  return { path, bytes: data.length, fingerprint: await fingerprint(data) }
}

/** Fingerprint of bytes, by the addon. */
export async function fingerprint(data: Uint8Array): Promise<string> {
  return (await native().fingerprintRegions({ regions: [new Uint8Array(data)] }, {}))[0]!
}

function total(files: readonly Entry[]): number {
  return files.reduce((sum, file) => sum + file.bytes, 0)
}
