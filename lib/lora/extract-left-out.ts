import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import { byteBatches } from '../io/byte-batches.js'
import type { ExtractPlan } from './extract-plan.js'

const BATCH_BYTES = 256 * 1024 * 1024
const BATCH_TENSORS = 256

/** A tensor of a fine-tune that is not in the adapter. */
export interface LeftOutTensor {
  /** Its name. */
  name: string
  /** Why, to be read after the name. */
  reason: string
  /** ‖θt − θ0‖² of it; null when the base has no such tensor to compare with. */
  squaredNorm: number | null
}

/**
 * Measures how much of the task vector lies in tensors that an adapter leaves out.
 *
 * @param leftOut - the tensors
 * @param files - open files
 * @param options - threads, signal
 * @returns those that differ from the base, in the order given
 * @throws TaskfoldError FILE_TRUNCATED, IO_ERROR, CANCELLED
 */
export async function measureLeftOut(
  leftOut: ExtractPlan['leftOut'],
  files: NativeFiles,
  options: { threads?: number; signal?: AbortSignal },
): Promise<LeftOutTensor[]> {
  const norms = new Map<string, number>()
  const limits = {
    bytes: BATCH_BYTES,
    items: BATCH_TENSORS,
    sizeOf: ({ tuned }: ExtractPlan['leftOut'][number]) => tuned.length,
  }
  const comparable = leftOut.filter(
    ({ tuned, base }) => base !== null && isFloatDtype(base.dtype) && isFloatDtype(tuned.dtype),
  )
  for (const batch of byteBatches(comparable, limits)) {
    const tensors = batch.map(({ tuned, base }) => {
      const merged = files.operand(base!)
      const { name, elements } = tuned
      const against = files.operand(tuned)
      return { name, elements, dtype: merged.dtype, merged: merged.region, delta: null, against }
    })
    const found = await callNative((control) => native().compareTensors({ tensors }, control), options)
    for (const [i, { errorSquared }] of found.entries()) norms.set(batch[i]!.tuned.name, errorSquared)
  }
  return leftOut
    .map(({ tuned, reason }) => ({
      name: tuned.name,
      reason,
      squaredNorm: norms.get(tuned.name) ?? null,
    }))
    .filter(({ squaredNorm }) => squaredNorm !== 0)
}
