import type { Checkpoint, Dtype, TensorInfo } from '../../lib/checkpoint/checkpoint-types.js'
import { byteLength } from '../../lib/checkpoint/dtypes.js'

/** An opened checkpoint that exists in memory only: for code that plans from headers. */
export function headerCheckpoint(
  name: string,
  tensors: Record<string, [Dtype, readonly number[]]>,
  more: Partial<Checkpoint> & { metadata?: Record<string, string> } = {},
): Checkpoint {
  const file = `/models/${name}/model.safetensors`
  let offset = 8
  const infos = Object.entries(tensors).map(([tensor, [dtype, shape]]): TensorInfo => {
    const length = byteLength(dtype, shape)
    offset += length
    const elements = shape.reduce((product, extent) => product * extent, 1)
    return { name: tensor, dtype, shape, elements, file, offset: offset - length, length }
  })
  const { metadata = {}, ...rest } = more
  return {
    source: `/models/${name}`,
    folder: `/models/${name}`,
    files: [
      {
        path: file,
        name: 'model.safetensors',
        size: offset,
        mtimeMs: 1,
        metadata,
        tensors: infos.map((info) => info.name),
      },
    ],
    sharded: false,
    tensors: new Map(infos.map((info) => [info.name, info])),
    totalBytes: offset - 8,
    config: null,
    otherFiles: [],
    ...rest,
  }
}
