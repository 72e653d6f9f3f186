import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { createProgress, type OnProgress } from '../io/progress.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import { isAdapterFolder } from '../lora/is-adapter-folder.js'
import { parseKohyaKey } from '../lora/kohya-keys.js'
import { openAdapter } from '../lora/open-adapter.js'
import { parsePeftKey } from '../lora/peft-keys.js'
import type { FoldSettings } from './fold-options.js'
import type { FoldInputs } from './plan-types.js'
import { ofTask } from './problems.js'

/** The models, or, when some cannot be opened, why. */
export type ReadInputs = { inputs: FoldInputs; problems: [] } | { inputs: null; problems: TaskfoldError[] }

/**
 * Reads the headers of all models, going on after a bad one so that all are reported at once.
 *
 * @param settings - where the models are
 * @param control - signal and progress
 * @returns the opened models, or one problem for each that could not be opened
 * @throws TaskfoldError CANCELLED
 */
export async function readInputs(
  settings: FoldSettings,
  control: { signal?: AbortSignal; onProgress?: OnProgress } = {},
): Promise<ReadInputs> {
  const { signal } = control
  const progress = createProgress(control.onProgress, 'read headers', settings.tasks.length + 1)
  const problems: TaskfoldError[] = []
  const open = async <T>(
    source: string,
    task: string | undefined,
    read: () => Promise<T>,
  ): Promise<T | null> => {
    try {
      return await read()
    } catch (error) {
      throwIfAborted(signal)
      problems.push(ofTask(toTaskfoldError(error, { file: source, action: 'read' }), task))
      return null
    } finally {
      progress.add(1, { task })
    }
  }
  const { cacheDir } = settings
  const base = await open(settings.base, undefined, () => readCheckpoint(settings.base, { cacheDir, signal }))
  const tasks: { name: string; checkpoint: Checkpoint }[] = []
  const adapters: { name: string; adapter: LoraAdapter }[] = []
  for (const { name, path } of settings.tasks) {
    if (await isAdapterFolder(path, { cacheDir })) {
      const adapter = await open(path, name, () => openAdapter(path, { cacheDir, signal }))
      if (adapter !== null) adapters.push({ name, adapter })
    } else {
      const checkpoint = await open(path, name, async () => {
        return refuseFactors(await readCheckpoint(path, { cacheDir, signal }))
      })
      if (checkpoint !== null) tasks.push({ name, checkpoint })
    }
  }
  progress.done()
  return base === null || problems.length > 0
    ? { inputs: null, problems }
    : { inputs: { base, tasks, adapters }, problems: [] }
}

/** A file of factors alone would be folded as a model that has nothing in common with the base. */
function refuseFactors(checkpoint: Checkpoint): Checkpoint {
  const names = [...checkpoint.tensors.keys()]
  const isFactor = (name: string) =>
    [parsePeftKey(name).what, parseKohyaKey(name).what].some((what) => what === 'factor' || what === 'alpha')
  if (names.length === 0 || !names.every(isFactor)) return checkpoint
  throw new TaskfoldError(
    'ADAPTER_UNSUPPORTED',
    `${checkpoint.source} holds the factors of a LoRA adapter, but it is no PEFT folder`,
    {
      file: checkpoint.files[0]?.path ?? checkpoint.folder,
      hint: 'give a PEFT folder, with adapter_config.json; files of kohya’s scripts say too little about their base',
    },
  )
}
