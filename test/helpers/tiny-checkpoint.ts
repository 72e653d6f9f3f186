import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A tensor for {@link tinySafetensors}. Numbers become bytes by dtype (F32, F64, integers); bytes are taken as they are. */
export interface TinyTensor {
  dtype: string
  shape: readonly number[]
  data: Uint8Array | readonly number[]
  /** A lie about where the bytes are. */
  offsets?: readonly number[]
}

export interface TinyFile {
  tensors: Record<string, TinyTensor> | ReadonlyMap<string, TinyTensor>
  metadata?: Record<string, string>
  /** Order of the tensors in header and data; by default that of `tensors`. */
  order?: readonly string[]
}

/**
 * Bytes of a safetensors file, written by a few lines that share nothing with lib/. Unlike lib/ it keeps the order of
 * the tensors, pads nothing and checks nothing.
 */
export function tinySafetensors({ tensors, metadata, order }: TinyFile): Buffer {
  const map = tensors instanceof Map ? tensors : new Map(Object.entries(tensors))
  const parts: string[] = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : []
  const data: Buffer[] = []
  let at = 0
  for (const name of order ?? map.keys()) {
    const { dtype, shape, data: values, offsets } = map.get(name)!
    const bytes = tinyBytes(dtype, values)
    const entry = { dtype, shape, data_offsets: offsets ?? [at, at + bytes.length] }
    parts.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`)
    data.push(bytes)
    at += bytes.length
  }
  return tinyRaw(`{${parts.join(',')}}`, Buffer.concat(data))
}

/** Bytes of a file with any header text, length and data, true or not. */
export function tinyRaw(
  header: string | Uint8Array,
  data: Uint8Array = Buffer.alloc(0),
  length?: bigint,
): Buffer {
  const json = Buffer.from(header as string)
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(length ?? BigInt(json.length))
  return Buffer.concat([prefix, json, data])
}

/** Bytes of values in a dtype. */
export function tinyBytes(dtype: string, values: Uint8Array | readonly number[]): Buffer {
  if (values instanceof Uint8Array) return Buffer.from(values)
  switch (dtype) {
    case 'F32':
      return Buffer.from(new Float32Array(values).buffer)
    case 'F64':
      return Buffer.from(new Float64Array(values).buffer)
    case 'F16':
    case 'BF16':
    case 'U16':
      return Buffer.from(new Uint16Array(values).buffer)
    case 'I16':
      return Buffer.from(new Int16Array(values).buffer)
    case 'I32':
    case 'U32':
      return Buffer.from(new Uint32Array(values.map((value) => value >>> 0)).buffer)
    case 'I64':
    case 'U64':
      return Buffer.from(new BigInt64Array(values.map(BigInt)).buffer)
    default:
      return Buffer.from(new Uint8Array(values).buffer)
  }
}

/** Writes a checkpoint folder of several shards with its index; answers the folder. */
export function tinySharded(
  folder: string,
  shards: Record<string, TinyFile['tensors']>,
  change: (index: { metadata: object; weight_map: Record<string, string> }) => object = (index) => index,
): string {
  mkdirSync(folder, { recursive: true })
  const weightMap: Record<string, string> = Object.create(null)
  for (const [file, tensors] of Object.entries(shards)) {
    writeFileSync(join(folder, file), tinySafetensors({ tensors, metadata: { format: 'pt' } }))
    for (const name of tensors instanceof Map ? tensors.keys() : Object.keys(tensors)) weightMap[name] = file
  }
  const index = change({ metadata: { total_size: 1 }, weight_map: weightMap })
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index))
  return folder
}
