import { join } from 'node:path'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { LoraAdapter } from '../lora/adapter-types.js'
import { openAdapter } from '../lora/open-adapter.js'
import { invalid } from '../pack/json-fields.js'
import type { ManifestLoraTask } from '../pack/manifest-types.js'
import { ADAPTER_CONFIG_FILE, ADAPTER_FILE, MANIFEST_FILE, TASKS_FOLDER } from '../pack/pack-format.js'
import type { Pack } from '../pack/pack-types.js'

/** One LoRA task of an open family. */
export interface PackAdapter {
  name: string
  manifest: ManifestLoraTask
  /** Its folder, absolute. */
  folder: string
  /** Headers and configuration only. */
  adapter: LoraAdapter
}

/**
 * Opens a LoRA task: reads the adapter in its folder and checks it against the manifest.
 *
 * @param pack - the open family
 * @param task - its entry
 * @param signal - stops between two files
 * @returns the task
 * @throws TaskfoldError PACK_INVALID when adapter and manifest contradict each other, ADAPTER_INVALID,
 * ADAPTER_UNSUPPORTED, a code of the safetensors checks, CANCELLED, IO_ERROR
 */
export async function openPackAdapter(
  pack: Pack,
  task: ManifestLoraTask,
  signal?: AbortSignal,
): Promise<PackAdapter> {
  const { name, layers } = task
  const folder = join(pack.folder, TASKS_FOLDER, name)
  const adapter = await openAdapter(folder, { signal })
  const at = { file: join(pack.folder, MANIFEST_FILE), task: name }
  if (adapter.layers.length !== layers.length) {
    throw invalid(
      at,
      `task '${name}' has ${adapter.layers.length} layers in ${ADAPTER_FILE}, not ${layers.length}`,
    )
  }
  for (const [i, { module, rank }] of adapter.layers.entries()) {
    const listed = layers[i]!
    if (module !== listed.module) {
      throw invalid(
        at,
        `task '${name}' lists module ${quoteName(listed.module)}, but has ${quoteName(module)}`,
      )
    }
    if (rank !== listed.rank) {
      throw invalid(at, `task '${name}': module ${quoteName(module)} has rank ${rank}, not ${listed.rank}`)
    }
  }
  return { name, manifest: task, folder, adapter }
}

/**
 * Checks the bytes of an adapter against the manifest, before its factors are used: they are small.
 *
 * @param pack - the family
 * @param task - the open task
 * @param options - open files, signal, threads
 * @throws TaskfoldError HASH_MISMATCH naming the file, CANCELLED, IO_ERROR
 */
export async function assertAdapterFiles(
  pack: Pack,
  { name, manifest }: PackAdapter,
  { files, signal, threads }: { files: NativeFiles; signal?: AbortSignal; threads?: number },
): Promise<void> {
  const used = manifest.files.filter(({ path }) => USED.some((file) => path.endsWith(`/${file}`)))
  const regions = used.map(({ path, bytes }) => {
    return files.region({ file: join(pack.folder, path), offset: 0, length: bytes })
  })
  const call = { signal, threads, context: { file: pack.folder, task: name } }
  const found = await callNative((control) => native().fingerprintRegions({ regions }, control), call)
  for (const [i, { path, fingerprint }] of used.entries()) {
    if (found[i] === fingerprint) continue
    const file = join(pack.folder, path)
    throw new TaskfoldError(
      'HASH_MISMATCH',
      `${file}: its bytes are not those that the family was written with`,
      {
        file,
        task: name,
        hint: 'fetch or fold the family again; taskfold verify lists everything that changed',
      },
    )
  }
}

/** What decides about the factors and their scale. */
const USED = [ADAPTER_FILE, ADAPTER_CONFIG_FILE]
