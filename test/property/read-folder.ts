import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { FamilyTensor } from '../helpers/random-family.js'

/** A safetensors file as a test reads it, sharing nothing with lib/. */
export interface PlainFile {
  metadata: Record<string, string>
  tensors: Map<string, FamilyTensor>
}

/**
 * @param path - a safetensors file
 */
export function readPlainFile(path: string): PlainFile {
  const bytes = readFileSync(path)
  const length = Number(bytes.readBigUInt64LE(0))
  // Object.entries sees a member named __proto__ that JSON.parse made.
  const entries = Object.entries(JSON.parse(bytes.toString('utf8', 8, 8 + length)) as Record<string, unknown>)
  const tensors = new Map<string, FamilyTensor>()
  let metadata = {}
  for (const [name, entry] of entries) {
    if (name === '__metadata__') {
      metadata = entry as Record<string, string>
      continue
    }
    const {
      dtype,
      shape,
      data_offsets: range,
    } = entry as { dtype: string; shape: number[]; data_offsets: number[] }
    tensors.set(name, { dtype, shape, data: bytes.subarray(8 + length + range[0]!, 8 + length + range[1]!) })
  }
  return { metadata, tensors }
}

/**
 * All tensors of a checkpoint folder, and the file of each.
 *
 * @param folder - with model.safetensors, or shards and their index
 */
export function readPlainCheckpoint(folder: string): {
  tensors: Map<string, FamilyTensor>
  files: Map<string, string>
} {
  const tensors = new Map<string, FamilyTensor>()
  const files = new Map<string, string>()
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.safetensors'))) {
    for (const [name, tensor] of readPlainFile(join(folder, file)).tensors) {
      if (tensors.has(name)) throw new Error(`${name} lies in two files of ${folder}`)
      tensors.set(name, tensor)
      files.set(name, file)
    }
  }
  const indexPath = join(folder, 'model.safetensors.index.json')
  if (existsSync(indexPath)) {
    const index = JSON.parse(readFileSync(indexPath, 'utf8')) as { weight_map: Record<string, string> }
    const listed = Object.entries(index.weight_map)
    const agree = listed.length === files.size && listed.every(([name, file]) => files.get(name) === file)
    if (!agree) throw new Error(`index and files of ${folder} disagree`)
  } else if (new Set(files.values()).size > 1) {
    throw new Error(`${folder} has shards and no index`)
  }
  return { tensors, files }
}

/**
 * Every file below a folder with its bytes, to compare two outputs.
 *
 * @param folder - read recursively
 */
export function readEveryFile(folder: string): Map<string, Buffer> {
  const out = new Map<string, Buffer>()
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    const path = join(folder, name)
    if (statSync(path).isFile()) out.set(name, readFileSync(path))
  }
  return out
}
