import type { NativeFile } from '../binding/binding-types.js'
import { isFloatDtype } from '../checkpoint/dtypes.js'
import type { TaskTensor } from '../pack/pack-format.js'
import { floatBytes } from '../pack/stored-arrays.js'
import { copy, copyElements, part } from './fold-copy.js'
import type { FoldRun } from './fold-run.js'
import type { PlannedTask } from './plan-types.js'

/** Bytes of a task's tensor and their place in its delta file. */
export interface WholeCopy {
  /** The tensor. */
  name: string
  /** First byte, counted in the dtype that it is stored in. */
  fromByte: number
  /** Where in the delta file. */
  offset: number
  /** As stored. */
  length: number
}

/**
 * Copies what a task keeps whole into its delta file: tensors as they are, and rows behind the folded ones in the storage
 * dtype.
 *
 * @param run - the fold
 * @param task - the task
 * @param wholes - what goes where
 * @param planned - kind and dtype of a tensor as the delta file describes it
 * @param out - the delta file
 * @throws TaskfoldError FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function copyWholes(
  run: FoldRun,
  task: PlannedTask,
  wholes: readonly WholeCopy[],
  planned: (name: string) => { kind: TaskTensor['kind']; dtype: TaskTensor['dtype'] },
  out: NativeFile,
): Promise<void> {
  for (const { name, fromByte, offset, length } of wholes) {
    const info = task.checkpoint.tensors.get(name)!
    const to = { file: out, offset, length }
    const { kind, dtype } = planned(name)
    if (kind === 'rows' && isFloatDtype(dtype) && isFloatDtype(info.dtype)) {
      const first = fromByte / floatBytes(dtype)
      const from = { region: part(run.files.region(info), first * floatBytes(info.dtype)), dtype: info.dtype }
      await copyElements(run, name, from, { region: to, dtype }, info.elements - first, task.name)
    } else {
      await copy(run, name, part(run.files.region(info), fromByte), to, task.name)
    }
  }
}
