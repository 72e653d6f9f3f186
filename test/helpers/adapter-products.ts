import { isFloatDtype } from '../../lib/checkpoint/dtypes.js'
import { readTensor } from '../../lib/checkpoint/read-tensor.js'
import type { LoraAdapter } from '../../lib/lora/adapter-types.js'
import { decodeFloats } from '../reference/float-convert.js'
import { sumOfProducts } from '../reference/low-rank.js'

/** ΔW = s·B·A of every module of an opened adapter, in f64; of an embedding the transpose of its change. */
export async function adapterProducts(adapter: LoraAdapter): Promise<Map<string, Float64Array>> {
  const products = new Map<string, Float64Array>()
  for (const { module, rows, columns, rank, scale, a, b } of adapter.layers) {
    const [left, right] = await Promise.all([b, a].map(({ name }) => floats(adapter, name)))
    products.set(module, sumOfProducts([{ b: left!, a: right!, rank, scale }], rows, columns))
  }
  return products
}

async function floats({ checkpoint }: LoraAdapter, name: string): Promise<Float32Array> {
  const { dtype, data } = await readTensor(checkpoint, name)
  if (!isFloatDtype(dtype)) throw new Error(`${name} is ${dtype}`)
  return decodeFloats(dtype, data)
}
