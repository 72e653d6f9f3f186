import type { FileHandle } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { openInput } from '../io/open-input.js'
import { readRange } from '../io/read-range.js'
import type { CheckpointFile, TensorInfo } from './checkpoint-types.js'
import { parseHeaderEntries } from './header-entries.js'
import { checkTensorRanges } from './tensor-ranges.js'

/** The header's length stands in front of it as a little-endian u64. */
export const LENGTH_BYTES = 8
/** Limit of the format itself: its official reader refuses more, and a reader must not allocate what a file asks for. */
export const MAX_HEADER_BYTES = 100_000_000

const OPEN_BRACE = 0x7b

/** What the header of a safetensors file says, checked against the file. */
export interface SafetensorsHeader {
  /** The file. */
  file: CheckpointFile
  /** Its tensors in the order of their bytes. */
  tensors: TensorInfo[]
}

/**
 * Reads and checks the header of a safetensors file; of the tensors' bytes nothing is read.
 *
 * @param path - path of the file; symbolic links are followed
 * @param name - its name inside the checkpoint, by default the last part of the path
 * @param signal - stops the reading
 * @returns the file and its tensors
 * @throws TaskfoldError one code per way that a file can lie (HEADER_*, TENSOR_*, DUPLICATE_TENSOR, UNKNOWN_DTYPE,
 * SIZE_OVERFLOW), NOT_FOUND, IO_ERROR, CANCELLED
 */
export async function readSafetensorsHeader(
  path: string,
  name: string = basename(path),
  signal?: AbortSignal,
): Promise<SafetensorsHeader> {
  const file = resolve(path)
  const { handle, stats } = await openInput(file)
  try {
    const size = stats.size
    const headerBytes = await readHeaderLength(handle, file, size, signal)
    const bytes = await readRange(handle, LENGTH_BYTES, headerBytes, { file, signal })
    const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (json[0] !== OPEN_BRACE) {
      throw new TaskfoldError('HEADER_NOT_JSON', `${file}: the header does not start with {`, {
        file,
        hint: await hintFor(handle, size),
      })
    }
    const { metadata, entries } = parseHeaderEntries(json, file)
    const tensors = checkTensorRanges(entries, file, LENGTH_BYTES + headerBytes, size)
    return {
      file: { path: file, name, size, mtimeMs: stats.mtimeMs, metadata, tensors: tensors.map((t) => t.name) },
      tensors,
    }
  } finally {
    await handle.close()
  }
}

async function readHeaderLength(
  handle: FileHandle,
  file: string,
  size: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (size < LENGTH_BYTES) {
    throw new TaskfoldError('HEADER_TOO_SHORT', `${file} has ${size} bytes, too few for a safetensors file`, {
      file,
      hint: 'The file is empty or cut off: fetch it again.',
    })
  }
  const prefix = await readRange(handle, 0, LENGTH_BYTES, { file, signal })
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true)
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw new TaskfoldError(
      'HEADER_TOO_LARGE',
      `${file}: the header's length is given as ${length} bytes, above the format's limit of ${MAX_HEADER_BYTES}`,
      { file, hint: await hintFor(handle, size) },
    )
  }
  if (Number(length) > size - LENGTH_BYTES) {
    throw new TaskfoldError(
      'HEADER_TOO_SHORT',
      `${file}: the header's length is given as ${length} bytes, but the file has only ${size}`,
      { file, hint: 'The file is cut off, perhaps by an unfinished download: fetch it again.' },
    )
  }
  return Number(length)
}

/** What a file probably is that is no safetensors file, from its first bytes. */
async function hintFor(handle: FileHandle, size: number): Promise<string> {
  const bytes = await readRange(handle, 0, Math.min(size, 64), { file: '' })
  const text = Buffer.from(bytes).toString('latin1')
  if (text.startsWith('version https://git-lfs')) {
    return 'It is a Git LFS pointer, not the file itself: run git lfs pull.'
  }
  if (text.startsWith('PK\x03\x04')) return 'It looks like a PyTorch file: convert it to safetensors.'
  if (text.startsWith('GGUF')) return 'It is a GGUF file: give the safetensors files that it was made from.'
  if (/^\s*</.test(text)) return 'It looks like a web page, perhaps of a failed download: fetch it again.'
  return 'The file is damaged or is no safetensors file: fetch or convert it again.'
}
