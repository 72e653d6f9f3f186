import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from './random.js'

const TILE = 1 << 20

/**
 * Writes a bf16 checkpoint of up to 4 GiB quickly, from one tile of random weights.
 *
 * @param folder - where to
 * @param options - `mib`: of its tensors, each 16 MiB; `drift`: how far weights are from those of drift 0
 * @returns the folder
 */
export function writeTiledCheckpoint(folder: string, options: { mib: number; drift: number }): string {
  const { mib, drift } = options
  const weights = seededRandom(1)
  const drifts = seededRandom(2)
  const tile = Buffer.alloc(TILE * 2)
  for (let i = 0; i < TILE; i++) {
    const value = Float32Array.of(weights.unit() - 0.5 + drift * (drifts.unit() - 0.5) ** 3)
    tile.writeUInt16LE(new Uint32Array(value.buffer)[0]! >>> 16, 2 * i)
  }
  const bytes = 16 * 2 ** 20
  const count = mib / 16
  const entries = Array.from({ length: count }, (_, i) => [
    `layers.${i}.weight`,
    { dtype: 'BF16', shape: [2048, 4096], data_offsets: [i * bytes, (i + 1) * bytes] },
  ])
  const json = JSON.stringify(Object.fromEntries(entries))
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  mkdirSync(folder, { recursive: true })
  const file = openSync(join(folder, 'model.safetensors'), 'w')
  writeSync(file, length)
  writeSync(file, header)
  for (let i = 0; i < count; i++) {
    // Equal tensors would be stored once, as tied weights are: each starts elsewhere in the tile.
    const from = 2 * 4099 * i
    const turned = Buffer.concat([tile.subarray(from), tile.subarray(0, from)])
    for (let part = 0; part < bytes / tile.length; part++) writeSync(file, turned)
  }
  closeSync(file)
  return folder
}
