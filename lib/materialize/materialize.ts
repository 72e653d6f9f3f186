import { withDevice } from '../binding/choose-device.js'
import { checkDevice, type DeviceOptions, type UsedDevice } from '../binding/device-choice.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import type { OnProgress } from '../io/progress.js'
import type { Pack } from '../pack/pack-types.js'
import { materializeAdapter } from './materialize-adapter.js'
import { materializeExact } from './materialize-exact.js'
import { materializeMerged } from './materialize-merged.js'
import type { BaseOptions } from './open-base.js'

/**
 * How a task is unfolded to a folder; where the base is matters for LoRA tasks with `merged`. A full fine-tune is decoded
 * on `device`, with the same bytes on each; LoRA tasks are written by the CPU.
 */
export interface MaterializeOptions extends BaseOptions, DeviceOptions {
  /** Replace an existing checkpoint at the output. Default false. */
  force?: boolean
  /** Stops within a second; nothing half-written stays. */
  signal?: AbortSignal
  /** Called at most 20 times a second. */
  onProgress?: OnProgress
  /** Threads at most. Default: the machine's. */
  threads?: number
  /** Wait until the disk has everything. Default true. */
  sync?: boolean
  /**
   * LoRA tasks: write the whole model, the adapter merged into its base, instead of the adapter. Default false. A full
   * fine-tune is a whole model either way.
   */
  merged?: boolean
}

/** What unfolding a task to a folder wrote. */
export interface MaterializeResult extends UsedDevice {
  /** Absolute path of the folder. */
  folder: string
  /** Name of the task. */
  task: string
  /** Number of tensors. */
  tensors: number
  /** Bytes of all files. */
  bytes: number
  /** Names of all files, without the index. */
  files: string[]
}

/**
 * Writes one task's model as an ordinary Hugging Face folder: sharded like the base, with the task's own config and
 * tokenizer files; of a LoRA task the adapter's PEFT folder, or with `merged` the whole model. Ends with a complete folder
 * or with none.
 *
 * @param pack - the open family
 * @param task - name of the task
 * @param folder - folder to write; must not exist, unless `force`
 * @param options - force, signal, progress, threads, device, sync, merged, base
 * @returns what was written
 * @throws TaskfoldError NOT_FOUND, OUTPUT_EXISTS, OUTPUT_BUSY, INVALID_ARGUMENT, DISK_FULL, PACK_INVALID, HASH_MISMATCH,
 * INPUT_CHANGED, CANCELLED, IO_ERROR, DEVICE_UNAVAILABLE
 */
export async function materialize(
  pack: Pack,
  task: string,
  folder: string,
  options: MaterializeOptions = {},
): Promise<MaterializeResult> {
  throwIfAborted(options.signal)
  checkDevice(options)
  const entry = pack.entry(task)
  if (entry.codec !== 'lora') {
    const opened = await pack.task(task)
    return await withDevice(options, (device) => materializeExact(pack, opened, folder, options, device))
  }
  return options.merged
    ? materializeMerged(pack, entry, folder, options)
    : materializeAdapter(pack, entry, folder, options)
}
