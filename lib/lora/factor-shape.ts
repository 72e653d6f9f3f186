import type { TensorInfo } from '../checkpoint/checkpoint-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { quoteName } from '../errors/quote-name.js'
import { adapterInvalid, adapterUnsupported } from './adapter-fault.js'
import type { LoraLayer } from './adapter-types.js'

/** What the shapes of two factors say. */
export type FactorShape = Pick<LoraLayer, 'kind' | 'rows' | 'columns' | 'rank'>

/**
 * Checks that two tensors are the factors of one layer. Kernels of one and three dimensions are flattened like those of
 * two, which is right for them too (B's kernel is 1), and count as `conv2d`.
 *
 * @param a - A: [rank, in] or [rank, in, …kernel]
 * @param b - B: [out, rank] or [out, rank, 1, …]
 * @returns their sizes
 * @throws TaskfoldError ADAPTER_INVALID when they do not fit together, ADAPTER_UNSUPPORTED for grouped convolutions and
 * dtypes that the kernels do not take
 */
export function factorShape(a: TensorInfo, b: TensorInfo): FactorShape {
  for (const { dtype, file, name } of [a, b]) {
    if (!isFloatDtype(dtype)) {
      throw adapterUnsupported(
        { file, tensor: name, hint: 'Convert it to F32, F16 or BF16 first.' },
        `tensor ${quoteName(name)} is ${dtype}, which is no dtype that can be computed with`,
      )
    }
  }
  const [rank = 0, ...input] = a.shape
  const [rows = 0, inner = 0, ...kernel] = b.shape
  const shown = `${show(b)} and ${show(a)}`
  const bad = (reason: string) =>
    adapterInvalid({ file: b.file, tensor: b.name }, `${shown} are not factors of one layer: ${reason}`)
  if (input.length < 1 || input.length > 4) throw bad('they are neither matrices nor kernels')
  if (b.shape.length !== a.shape.length) throw bad('they have different numbers of dimensions')
  if (kernel.some((extent) => extent !== 1)) throw bad('the kernel of B is not 1')
  if (a.elements === 0 || b.elements === 0) throw bad('there are no elements')
  if (inner !== rank && kernel.length > 0 && rank % inner === 0) {
    throw adapterUnsupported(
      { file: b.file, tensor: b.name, hint: 'Leave that layer out of the adapter.' },
      `${shown} belong to a convolution in ${rank / inner} groups, which is not supported`,
    )
  }
  if (inner !== rank) throw bad(`B has rank ${inner} and A has rank ${rank}`)
  const columns = input.reduce((product, extent) => product * extent, 1)
  return { kind: kernel.length > 0 ? 'conv2d' : 'linear', rows, columns, rank }
}

const show = ({ name, shape }: TensorInfo) => `${quoteName(name)} [${shape.join(', ')}]`
