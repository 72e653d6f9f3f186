import type { NaiveFamily, NaiveTaskTensor, NaiveTensor } from './naive-pack.js'
import { itemBytes } from './naive-pack.js'
import { seededRandom } from './random.js'

const random = () => seededRandom(7)

/** Bytes that are no NaN in any floating dtype. */
function bytes(length: number, seed: number): Uint8Array {
  const source = seededRandom(seed)
  return Uint8Array.from({ length }, () => source.below(0x3c))
}

function tensor(name: string, dtype: string, shape: number[], seed: number): NaiveTensor {
  const elements = shape.reduce((product, extent) => product * extent, 1)
  return { name, dtype, shape, data: bytes(elements * itemBytes[dtype]!, seed) }
}

function delta(of: NaiveTensor, positions: number[], index: 'u16' | 'bitmap', seed: number): NaiveTaskTensor {
  const { name, dtype, shape } = of
  return {
    kind: 'delta',
    name,
    dtype,
    shape,
    positions,
    values: bytes(positions.length * itemBytes[dtype]!, seed),
    index,
  }
}

/** Every second, third… position of a range. */
function every(step: number, from: number, to: number): number[] {
  return Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step)
}

/** A family with every kind, both index codes, all floating dtypes, collisions of names, several blocks and shards. */
export function sampleFamily(): NaiveFamily {
  const a = tensor('a', 'F32', [2, 70000], 1)
  const aValue = tensor('a.value', 'F32', [2], 2)
  const b = tensor('b', 'BF16', [3, 5], 3)
  const c = tensor('c', 'F16', [10], 4)
  const d = tensor('d', 'F8_E4M3', [101], 5)
  const e = tensor('e', 'F8_E5M2', [], 6)
  const empty = tensor('empty', 'F32', [0, 4], 7)
  const table = tensor('table', 'BF16', [4, 8], 8)
  const ids = tensor('ids', 'I64', [2], 9)
  const proto = tensor('__proto__', 'F32', [3], 10)
  const all = random().shuffled(every(1, 0, 101))
  return {
    merged: {
      'model-00001-of-00002.safetensors': [a, b, c, proto],
      'model-00002-of-00002.safetensors': [aValue, d, e, empty, table, ids],
    },
    mergedFiles: { 'config.json': '{"of":"base"}', 'tokenizer.json': '{}' },
    tasks: {
      one: {
        tensors: [
          delta(proto, [1], 'u16', 11),
          delta(a, [0, 5, 65535, 65536, 131071, 139999], 'u16', 12),
          { kind: 'whole', name: 'a.value', dtype: 'F32', shape: [2], data: bytes(8, 13), stem: 'a.value~1' },
          delta(b, [0, 7, 14], 'bitmap', 14),
          delta(c, [], 'u16', 15),
          delta(
            d,
            [...all].sort((x, y) => x - y),
            'bitmap',
            16,
          ),
          delta(e, [0], 'u16', 17),
          delta(empty, [], 'u16', 18),
          {
            kind: 'rows',
            name: 'table',
            dtype: 'BF16',
            shape: [6, 8],
            rows: 4,
            positions: [0, 31],
            values: bytes(4, 19),
            index: 'u16',
            extra: bytes(32, 20),
          },
          { kind: 'alias', name: 'tied', dtype: 'BF16', shape: [6, 8], of: 'table' },
          { kind: 'whole', name: 'head', dtype: 'F16', shape: [3], data: bytes(6, 21) },
          { kind: 'whole', name: 'mask', dtype: 'U8', shape: [3], data: bytes(3, 22) },
          { kind: 'same', name: 'ids', dtype: 'I64', shape: [2] },
        ],
        files: { 'config.json': '{"of":"one"}', 'nested/code.py': 'pass\n' },
        sharedFiles: ['tokenizer.json'],
        shards: { head: 'model-00002-of-00002.safetensors', mask: 'extra.safetensors' },
        metadata: { format: 'pt', note: 'kept' },
      },
      two: {
        tensors: [
          { kind: 'same', name: 'b', dtype: 'BF16', shape: [3, 5] },
          delta(a, every(100, 65536, 140000), 'bitmap', 23),
        ],
        sharedFiles: ['config.json', 'tokenizer.json'],
      },
    },
  }
}
