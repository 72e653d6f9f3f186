import { readdir } from 'node:fs/promises'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { sortNames } from './names.js'
import { INDEX_FILE } from './shard-index.js'

/** Name of the weights in a checkpoint of one file. */
export const SINGLE_FILE = 'model.safetensors'

/**
 * Decides which file of a folder describes its weights: the index, else model.safetensors, else the only
 * .safetensors file. The index wins over everything else that may lie beside it, such as an older set of shards.
 *
 * @param folder - path of the folder
 * @param source - what the caller asked for, for the message
 * @returns the file's name; {@link INDEX_FILE} when the checkpoint is sharded
 * @throws TaskfoldError NOT_A_CHECKPOINT, NOT_FOUND, IO_ERROR
 */
export async function findWeights(folder: string, source: string): Promise<string> {
  let names: string[]
  try {
    names = await readdir(folder)
  } catch (error) {
    throw toTaskfoldError(error, { file: folder, action: 'list' })
  }
  if (names.includes(INDEX_FILE)) return INDEX_FILE
  if (names.includes(SINGLE_FILE)) return SINGLE_FILE
  const candidates = sortNames(names.filter((name) => name.endsWith('.safetensors') && !name.startsWith('.')))
  const [only] = candidates
  if (only !== undefined && candidates.length === 1) return only
  if (only !== undefined) {
    throw new TaskfoldError(
      'NOT_A_CHECKPOINT',
      `${source} holds ${candidates.length} .safetensors files (${candidates.slice(0, 3).join(', ')}…) and no ${INDEX_FILE}`,
      {
        file: folder,
        hint: `Give one of the files, or fetch the index that tells how they belong together.`,
      },
    )
  }
  const other = sortNames(
    names.filter((name) => /\.(bin|pt|pth|ckpt|h5|msgpack|gguf|onnx|npz)$/i.test(name)),
  )[0]
  throw new TaskfoldError(
    'NOT_A_CHECKPOINT',
    `${source} holds no .safetensors file${other ? `, only ${other}` : ''}`,
    {
      file: folder,
      hint: other
        ? 'Convert the weights to safetensors first (save_pretrained of transformers writes them).'
        : names.includes('family.json')
          ? 'It is a family: unfold a task of it, or give its merged folder.'
          : 'Give a .safetensors file, a folder that holds one, or org/name of the Hugging Face cache.',
    },
  )
}
