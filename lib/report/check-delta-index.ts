import { join } from 'node:path'
import { readShardIndex } from '../checkpoint/shard-index.js'
import { quoteName } from '../errors/quote-name.js'
import { invalid } from '../pack/json-fields.js'
import { DELTA_INDEX_FILE, TASKS_FOLDER } from '../pack/pack-format.js'
import type { Pack, PackTask } from '../pack/pack-types.js'

/**
 * Checks that the index of a task with several delta files names exactly what they store. taskfold itself does not read
 * it; other tools may.
 *
 * @param pack - the family
 * @param task - the open task
 * @throws TaskfoldError PACK_INVALID, INDEX_INVALID, IO_ERROR
 */
export async function checkDeltaIndex(pack: Pack, task: PackTask): Promise<void> {
  const path = `${TASKS_FOLDER}/${task.name}/${DELTA_INDEX_FILE}`
  const file = join(pack.folder, path)
  const listed = task.manifest.files.some((entry) => entry.path === path)
  if (listed !== task.files.length > 1) {
    throw invalid(
      { file, task: task.name },
      'an index must be there when there are several delta files, and only then',
    )
  }
  if (!listed) return
  const places = await readShardIndex(file)
  for (const shard of task.files) {
    for (const stored of shard.tensors) {
      if (places.get(stored) !== shard.name) {
        throw invalid(
          { file, task: task.name },
          `${quoteName(stored)} lies in ${shard.name}, but it says otherwise`,
        )
      }
      places.delete(stored)
    }
  }
  for (const stored of places.keys()) {
    throw invalid({ file, task: task.name }, `no delta file holds ${quoteName(stored)}`)
  }
}
