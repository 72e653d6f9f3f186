import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { Dtype } from './checkpoint-types.js'
import { byteLength, dtypeRank, isDtype } from './dtypes.js'
import { nameProblem, sortByName } from './names.js'
import { LENGTH_BYTES, MAX_HEADER_BYTES } from './safetensors-header.js'

/** The header is padded with spaces to a multiple of this, so that the data behind it is aligned. */
const HEADER_ALIGNMENT = 8

/** A tensor that is to be written. */
export interface LayoutTensor {
  /** Its name. */
  readonly name: string
  /** Its dtype. */
  readonly dtype: Dtype
  /** Row-major extents. */
  readonly shape: readonly number[]
}

/** Where everything goes in a safetensors file. */
export interface SafetensorsLayout {
  /** The first bytes of the file: length, JSON, padding. */
  header: Uint8Array
  /** First byte of each tensor, counted from the start of the file, in the order of the file. */
  offsets: Map<string, number>
  /** Size of the whole file. */
  fileBytes: number
}

/**
 * Lays out a safetensors file, byte for byte as the format's official writer does: dtypes of large alignment first,
 * then by name, `__metadata__` in front, compact JSON.
 *
 * @param tensors - the tensors, in any order
 * @param metadata - `__metadata__`, left out when null or empty
 * @returns header bytes and offsets
 * @throws TaskfoldError INVALID_ARGUMENT for a name, dtype, shape or metadata value that the format does not allow,
 * DUPLICATE_TENSOR, SIZE_OVERFLOW, TENSOR_SIZE_MISMATCH for a fraction of a byte, HEADER_TOO_LARGE
 */
export function layoutSafetensors(
  tensors: readonly LayoutTensor[],
  metadata: Readonly<Record<string, string>> | null,
): SafetensorsLayout {
  for (const tensor of tensors) assertWritable(tensor)
  const sorted = officialOrder(tensors)
  const parts: string[] = []
  if (metadata && Object.keys(metadata).length > 0) parts.push(`"__metadata__":${metadataJson(metadata)}`)
  const relative = new Map<string, number>()
  let end = 0
  for (const { name, dtype, shape } of sorted) {
    const begin = end
    end += byteLength(dtype, shape, { tensor: name })
    if (!Number.isSafeInteger(end)) {
      throw new TaskfoldError('SIZE_OVERFLOW', `the tensors together are beyond 2^53 bytes`, { tensor: name })
    }
    if (relative.has(name)) {
      throw new TaskfoldError('DUPLICATE_TENSOR', `tensor ${quoteName(name)} is given twice`, {
        tensor: name,
        hint: 'Names are unique in a file.',
      })
    }
    relative.set(name, begin)
    parts.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(',')}],"data_offsets":[${begin},${end}]}`,
    )
  }
  const header = encodeHeader(`{${parts.join(',')}}`)
  const offsets = new Map<string, number>()
  for (const [name, begin] of relative) offsets.set(name, header.byteLength + begin)
  return { header, offsets, fileBytes: header.byteLength + end }
}

/** Dtypes of large alignment first, then bytewise by name. Equal names stay, to be refused. */
function officialOrder(tensors: readonly LayoutTensor[]): LayoutTensor[] {
  const byDtype = new Map<number, LayoutTensor[]>()
  for (const tensor of tensors) {
    const rank = dtypeRank(tensor.dtype)
    const group = byDtype.get(rank)
    if (group) group.push(tensor)
    else byDtype.set(rank, [tensor])
  }
  const ranks = [...byDtype.keys()].sort((a, b) => b - a)
  return ranks.flatMap((rank) => sortByName(byDtype.get(rank)!))
}

function encodeHeader(json: string): Uint8Array {
  const jsonBytes = Buffer.byteLength(json)
  const length = Math.ceil(jsonBytes / HEADER_ALIGNMENT) * HEADER_ALIGNMENT
  if (length > MAX_HEADER_BYTES) {
    throw new TaskfoldError(
      'HEADER_TOO_LARGE',
      `the header would have ${length} bytes, above ${MAX_HEADER_BYTES}`,
      {
        hint: 'Write more and smaller shards, or less metadata.',
      },
    )
  }
  const header = Buffer.alloc(LENGTH_BYTES + length, ' ')
  header.writeBigUInt64LE(BigInt(length))
  header.write(json, LENGTH_BYTES)
  return new Uint8Array(header.buffer, header.byteOffset, header.byteLength)
}

function assertWritable({ name, dtype, shape }: LayoutTensor): void {
  const bad = (reason: string) =>
    new TaskfoldError('INVALID_ARGUMENT', `tensor ${quoteName(String(name))} ${reason}`, {
      tensor: String(name),
    })
  const problem = typeof name === 'string' ? nameProblem(name) : 'is not a string'
  if (problem !== null) throw bad(`cannot be written: its name ${problem}`)
  if (!isDtype(dtype)) throw bad(`has the unknown dtype ${quoteName(String(dtype))}`)
  if (!Array.isArray(shape) || !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    throw bad('has a shape that is not a list of non-negative integers')
  }
}

function metadataJson(metadata: Readonly<Record<string, string>>): string {
  const members = Object.entries(metadata).map(([key, value]) => {
    if (typeof value !== 'string' || /\p{Surrogate}/u.test(key + value)) {
      throw new TaskfoldError('INVALID_ARGUMENT', `metadata ${quoteName(key)} is not text`, {
        hint: 'Keys and values of __metadata__ are strings of valid Unicode.',
      })
    }
    return `${JSON.stringify(key)}:${JSON.stringify(value)}`
  })
  return `{${members.join(',')}}`
}
