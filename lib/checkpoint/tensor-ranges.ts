import { quoteName } from '../errors/quote-name.js'
import { type ErrorDetails, TaskfoldError } from '../errors/taskfold-error.js'
import type { TensorInfo } from './checkpoint-types.js'
import { byteLength, elementCount } from './dtypes.js'
import type { HeaderEntry } from './header-entries.js'

/**
 * Checks that the tensors of a file tile its data: every range as long as dtype and shape say, no overlap, no hole,
 * nothing behind the last. A file that passes cannot hide other bytes and cannot be read in two ways.
 *
 * @param entries - the header's tensors
 * @param file - absolute path of the file
 * @param dataStart - first byte behind the header
 * @param fileBytes - size of the file
 * @returns the tensors with absolute offsets, in the order of their bytes
 * @throws TaskfoldError SIZE_OVERFLOW, TENSOR_SIZE_MISMATCH, TENSOR_OUT_OF_FILE, TENSOR_OVERLAP, TENSOR_GAP
 */
export function checkTensorRanges(
  entries: readonly HeaderEntry[],
  file: string,
  dataStart: number,
  fileBytes: number,
): TensorInfo[] {
  const dataBytes = fileBytes - dataStart
  const tensors = entries.map((entry): TensorInfo => {
    const { name, dtype, shape, begin, end } = entry
    const place = { file, tensor: name }
    const elements = elementCount(shape, place)
    const length = byteLength(dtype, shape, place)
    if (end > dataBytes) {
      throw fault(
        'TENSOR_OUT_OF_FILE',
        place,
        `tensor ${quoteName(name)} ends at byte ${dataStart + end}, but the file has ${fileBytes}`,
        'The file is cut off, perhaps by an unfinished download: fetch it again.',
      )
    }
    if (end - begin !== length) {
      throw fault(
        'TENSOR_SIZE_MISMATCH',
        place,
        `tensor ${quoteName(name)} has ${end - begin} bytes, but ${dtype} [${shape.join(', ')}] needs ${length}`,
      )
    }
    return { name, dtype, shape, elements, file, offset: dataStart + begin, length }
  })
  sortByPosition(tensors)
  assertTiles(tensors, file, dataStart, fileBytes)
  return tensors
}

function sortByPosition(tensors: TensorInfo[]): void {
  const before = (a: TensorInfo, b: TensorInfo) => a.offset - b.offset || a.length - b.length
  const sorted = tensors.every((tensor, i) => i === 0 || before(tensors[i - 1]!, tensor) <= 0)
  if (!sorted) tensors.sort(before)
}

function assertTiles(
  tensors: readonly TensorInfo[],
  file: string,
  dataStart: number,
  fileBytes: number,
): void {
  let at = dataStart
  let last: TensorInfo | undefined
  for (const tensor of tensors) {
    const place = { file, tensor: tensor.name }
    if (tensor.offset < at) {
      throw fault(
        'TENSOR_OVERLAP',
        place,
        `tensor ${quoteName(tensor.name)} at byte ${tensor.offset} lies inside tensor ${quoteName(last!.name)}, ` +
          `which ends at byte ${at}`,
        'Tied tensors are stored once: write the file again with one of the two names.',
      )
    }
    if (tensor.offset > at) {
      throw fault(
        'TENSOR_GAP',
        place,
        `the bytes ${at} to ${tensor.offset - 1} in front of tensor ${quoteName(tensor.name)} belong to no tensor`,
      )
    }
    at = tensor.offset + tensor.length
    last = tensor
  }
  if (at !== fileBytes) {
    const where = last ? `behind the last tensor ${quoteName(last.name)}` : 'behind the header'
    throw fault(
      'TENSOR_GAP',
      { file, tensor: last?.name },
      `${fileBytes - at} bytes ${where} belong to no tensor`,
    )
  }
}

function fault(
  code: 'TENSOR_OUT_OF_FILE' | 'TENSOR_SIZE_MISMATCH' | 'TENSOR_OVERLAP' | 'TENSOR_GAP',
  place: ErrorDetails & { file: string },
  message: string,
  hint = 'The header breaks the safetensors format: write or fetch the file again.',
): TaskfoldError {
  return new TaskfoldError(code, `${place.file}: ${message}`, { ...place, hint })
}
