import { assertUnchanged } from '../checkpoint/unchanged.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { createProgress } from '../io/progress.js'
import type { ManifestLoraTask } from '../pack/manifest-types.js'
import { TASKS_FOLDER } from '../pack/pack-format.js'
import type { Pack } from '../pack/pack-types.js'
import { copyChecked } from './copy-checked.js'
import type { MaterializeOptions, MaterializeResult } from './materialize.js'
import { openOutput } from './open-output.js'
import { openPackAdapter } from './open-pack-adapter.js'

/**
 * Writes a LoRA task as the PEFT folder that it is; the base is not needed.
 *
 * @param pack - the open family
 * @param task - its entry
 * @param folder - folder to write
 * @param options - force, signal, progress, sync
 * @returns what was written
 * @throws TaskfoldError as materialize does
 */
export async function materializeAdapter(
  pack: Pack,
  task: ManifestLoraTask,
  folder: string,
  options: MaterializeOptions,
): Promise<MaterializeResult> {
  const { signal, onProgress } = options
  const { name, bytes, files } = task
  const { adapter } = await openPackAdapter(pack, task, signal)
  const prefix = `${TASKS_FOLDER}/${name}/`
  const copies = files.map((from) => ({ from, to: from.path.slice(prefix.length) }))
  const output = await openOutput(pack.folder, folder, bytes, [adapter.folder], options)
  const progress = createProgress(onProgress, 'materialize', bytes)
  try {
    await copyChecked(copies, {
      family: pack.folder,
      work: output.work,
      task: name,
      signal,
      onBytes: (copied) => progress.add(copied, { task: name }),
    })
    await assertUnchanged(adapter.checkpoint)
    throwIfAborted(signal)
    await output.commit()
  } catch (error) {
    throw toTaskfoldError(error, { task: name, action: 'unfold' })
  } finally {
    await output.discard()
  }
  progress.done()
  const tensors = adapter.checkpoint.tensors.size
  const written = { folder: output.final, task: name, tensors, bytes, files: copies.map(({ to }) => to) }
  return { ...written, device: 'cpu', deviceNote: null }
}
