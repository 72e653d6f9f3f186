import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { locateSource } from '../checkpoint/locate-source.js'
import { listModelFiles } from '../checkpoint/model-files.js'
import { sortNames } from '../checkpoint/names.js'
import { readCheckpoint } from '../checkpoint/open-checkpoint.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { adapterInvalid } from './adapter-fault.js'
import type { LoraAdapter } from './adapter-types.js'
import { kohyaLayers } from './kohya-layers.js'
import { PEFT_PREFIX } from './peft-keys.js'
import { peftLayers } from './peft-layers.js'
import { CONFIG_FILE, readAdapterConfig } from './read-adapter-config.js'

export { CONFIG_FILE }
/** Name of a PEFT adapter's weights. */
export const WEIGHTS_FILE = 'adapter_model.safetensors'
/** PEFT's older format, which is a Python pickle. */
const PICKLE_FILE = 'adapter_model.bin'

/** Where to look, and how to stop. */
export interface OpenAdapterOptions {
  /** Root of the Hugging Face cache, by default what the environment says. */
  cacheDir?: string
  /** Stops between two files. */
  signal?: AbortSignal
}

/**
 * Opens a LoRA adapter: headers, configuration and the α of each layer; none of the factors.
 *
 * @param source - a PEFT folder (adapter_config.json and adapter_model.safetensors); a .safetensors file of kohya's
 * scripts or LyCORIS (LoCon), or a folder with one; or `org/name[@revision]` of the local Hugging Face cache when there
 * is no such path
 * @param options - where to look, and a signal
 * @returns its layers with ranks and scales, and what else it holds
 * @throws TaskfoldError ADAPTER_INVALID, ADAPTER_UNSUPPORTED for variants that would come out wrong, NOT_A_CHECKPOINT
 * when there are no safetensors weights, NOT_FOUND, INVALID_ARGUMENT, the codes of a safetensors header, IO_ERROR,
 * CANCELLED
 */
export async function openAdapter(source: string, options: OpenAdapterOptions = {}): Promise<LoraAdapter> {
  if (typeof source !== 'string' || source === '' || source.includes('\0')) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'the source of an adapter is not a path', {
      hint: 'Give an adapter’s folder, a .safetensors file, or org/name[@revision].',
    })
  }
  const { signal } = options
  throwIfAborted(signal)
  const path = await locateSource(source, options.cacheDir, 'Give an adapter’s folder, a .safetensors file')
  const stats = await stat(path).catch((error) => {
    throw toTaskfoldError(error, { file: path, action: 'open' })
  })
  if (!stats.isDirectory()) return openFile(source, path, signal)
  const names = await readdir(path).catch((error) => {
    throw toTaskfoldError(error, { file: path, action: 'list' })
  })
  if (names.includes(CONFIG_FILE)) return openPeft(source, path, names, signal)
  return openKohya(source, join(path, onlyFile(source, path, names)), signal)
}

/** A file of PEFT means nothing without its configuration, from which the scale comes. */
async function openFile(source: string, path: string, signal?: AbortSignal): Promise<LoraAdapter> {
  if (basename(path) === CONFIG_FILE || basename(path) === WEIGHTS_FILE) {
    const folder = dirname(path)
    const names: string[] = await readdir(folder).catch(() => [])
    if (names.includes(CONFIG_FILE)) return openPeft(source, folder, names, signal)
  }
  return openKohya(source, path, signal)
}

async function openPeft(
  source: string,
  folder: string,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<LoraAdapter> {
  if (!names.includes(WEIGHTS_FILE)) {
    const pickle = names.includes(PICKLE_FILE)
    throw new TaskfoldError(
      'NOT_A_CHECKPOINT',
      `${source} holds ${CONFIG_FILE} but no ${WEIGHTS_FILE}${pickle ? `, only ${PICKLE_FILE}` : ''}`,
      {
        file: folder,
        hint: pickle
          ? 'Convert it: load the adapter with PEFT and save it again (save_pretrained writes safetensors).'
          : 'The adapter is incomplete: fetch or save it again.',
      },
    )
  }
  const config = await readAdapterConfig(join(folder, CONFIG_FILE), signal)
  const checkpoint = { ...(await readCheckpoint(join(folder, WEIGHTS_FILE), { signal })), source }
  const { layers, rest } = peftLayers(checkpoint, config)
  const otherFiles = (await listModelFiles(folder)).filter((name) => name !== CONFIG_FILE)
  const { metadata } = checkpoint.files[0]!
  return {
    format: 'peft',
    source,
    checkpoint,
    layers,
    rest,
    config: config.fields,
    metadata,
    folder,
    otherFiles,
  }
}

async function openKohya(source: string, path: string, signal?: AbortSignal): Promise<LoraAdapter> {
  const checkpoint = { ...(await readCheckpoint(path, { signal })), source }
  const peft = [...checkpoint.tensors.keys()].find((name) => name.startsWith(PEFT_PREFIX))
  if (peft !== undefined) {
    throw adapterInvalid(
      { file: path, tensor: peft, hint: `Give the adapter’s folder, with ${CONFIG_FILE} in it.` },
      `it holds an adapter of PEFT, whose scale is in ${CONFIG_FILE}, and that is not there`,
    )
  }
  const { layers, rest } = await kohyaLayers(checkpoint, signal)
  const { metadata } = checkpoint.files[0]!
  const { folder } = checkpoint
  return { format: 'kohya', source, checkpoint, layers, rest, config: null, metadata, folder, otherFiles: [] }
}

function onlyFile(source: string, folder: string, names: readonly string[]): string {
  const files = sortNames(names.filter((name) => name.endsWith('.safetensors') && !name.startsWith('.')))
  const [only] = files
  if (only !== undefined && files.length === 1) return only
  if (only !== undefined) {
    throw new TaskfoldError(
      'NOT_A_CHECKPOINT',
      `${source} holds ${files.length} .safetensors files (${files.slice(0, 3).join(', ')}…) and no ${CONFIG_FILE}`,
      { file: folder, hint: 'Give one of the files, or the folder of a PEFT adapter.' },
    )
  }
  throw new TaskfoldError('NOT_A_CHECKPOINT', `${source} holds no ${CONFIG_FILE} and no .safetensors file`, {
    file: folder,
    hint: names.includes(PICKLE_FILE)
      ? `${PICKLE_FILE} is a pickle: load the adapter with PEFT and save it again.`
      : 'Give an adapter’s folder or a .safetensors file.',
  })
}
