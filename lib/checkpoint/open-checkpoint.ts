import { stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { Checkpoint, CheckpointFile, TensorInfo } from './checkpoint-types.js'
import { findWeights } from './find-weights.js'
import { parseHubRepo } from './hub-cache.js'
import { locateSource } from './locate-source.js'
import { readModelConfig } from './model-config.js'
import { listModelFiles } from './model-files.js'
import { sortNames } from './names.js'
import { readSafetensorsHeader } from './safetensors-header.js'
import { INDEX_FILE, readShardIndex } from './shard-index.js'

/** Where to look, and how to stop. */
export interface ReadCheckpointOptions {
  /** Root of the Hugging Face cache, by default what the environment says. */
  cacheDir?: string
  /** Stops between two files. */
  signal?: AbortSignal
}

/**
 * Opens a checkpoint: reads and checks the headers of all its files, and nothing of the tensors' bytes.
 *
 * @param source - a .safetensors file; a folder with model.safetensors, with an index and shards, or with one other
 * .safetensors file; or `org/name[@revision]` of the local Hugging Face cache when there is no such path
 * @param options - where to look, and a signal
 * @returns its tensors by name
 * @throws TaskfoldError NOT_FOUND, NOT_A_CHECKPOINT, the codes of one file (HEADER_*, TENSOR_*, DUPLICATE_TENSOR,
 * UNKNOWN_DTYPE, SIZE_OVERFLOW), of several (INDEX_INVALID, SHARD_MISSING, INDEX_MISMATCH, DUPLICATE_TENSOR),
 * CONFIG_INVALID, IO_ERROR, CANCELLED
 */
export async function readCheckpoint(
  source: string,
  options: ReadCheckpointOptions = {},
): Promise<Checkpoint> {
  if (typeof source !== 'string' || source === '' || source.includes('\0')) {
    throw new TaskfoldError('INVALID_ARGUMENT', 'the source of a checkpoint is not a path', {
      hint: 'Give a .safetensors file, a folder, or org/name[@revision].',
    })
  }
  throwIfAborted(options.signal)
  const path = await locateSource(source, options.cacheDir, 'Give a .safetensors file, a folder')
  const stats = await stat(path).catch((error) => {
    throw toTaskfoldError(error, { file: path, action: 'open' })
  })
  return stats.isDirectory()
    ? readFolder(source, path, options.signal)
    : readFile(source, path, options.signal)
}

async function readFile(source: string, path: string, signal: AbortSignal | undefined): Promise<Checkpoint> {
  if (!path.toLowerCase().endsWith('.safetensors')) {
    const isIndex = basename(path) === INDEX_FILE
    throw new TaskfoldError('NOT_A_CHECKPOINT', `${source} is not a .safetensors file`, {
      file: path,
      hint: isIndex ? 'Give the folder that holds the index.' : 'Convert the weights to safetensors first.',
    })
  }
  const { file, tensors } = await readSafetensorsHeader(path, basename(path), signal)
  return assemble(
    { source, folder: dirname(path), sharded: false, config: null, otherFiles: [] },
    [file],
    [tensors],
  )
}

async function readFolder(
  source: string,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Checkpoint> {
  const weights = await findWeights(folder, source)
  const sharded = weights === INDEX_FILE
  const weightMap = sharded ? await readShardIndex(join(folder, INDEX_FILE), signal) : null
  const names = weightMap ? sortNames([...new Set(weightMap.values())]) : [weights]
  const files: CheckpointFile[] = []
  const tensors: TensorInfo[][] = []
  for (const name of names) {
    throwIfAborted(signal)
    const shard = await readShard(folder, name, source, sharded, signal)
    files.push(shard.file)
    tensors.push(shard.tensors)
  }
  if (weightMap) assertIndexAgrees(join(folder, INDEX_FILE), weightMap, files)
  const config = await readModelConfig(join(folder, 'config.json'), signal)
  const otherFiles = await listModelFiles(folder)
  return assemble({ source, folder, sharded, config, otherFiles }, files, tensors)
}

async function readShard(
  folder: string,
  name: string,
  source: string,
  sharded: boolean,
  signal: AbortSignal | undefined,
) {
  const path = join(folder, name)
  try {
    return await readSafetensorsHeader(path, name, signal)
  } catch (error) {
    if (!(error instanceof TaskfoldError) || error.code !== 'NOT_FOUND') throw error
    const repo = parseHubRepo(source)
    throw new TaskfoldError(
      'SHARD_MISSING',
      `${sharded ? `${INDEX_FILE} of ${source} names ` : ''}${path}, which is not there`,
      {
        file: path,
        cause: error,
        hint: repo
          ? `The download is incomplete: hf download ${repo.org}/${repo.name} --revision ${repo.revision}`
          : 'The checkpoint is incomplete: fetch or write it again.',
      },
    )
  }
}

/** Both directions: every tensor of the index lies in its shard, and every tensor of a shard is in the index there. */
function assertIndexAgrees(
  index: string,
  weightMap: ReadonlyMap<string, string>,
  files: readonly CheckpointFile[],
): void {
  const found = new Map<string, CheckpointFile>()
  for (const file of files) {
    for (const name of file.tensors) {
      const first = found.get(name)
      if (first) {
        throw new TaskfoldError(
          'DUPLICATE_TENSOR',
          `${file.path}: tensor ${quoteName(name)} is also in ${first.name}`,
          {
            file: file.path,
            tensor: name,
            hint: 'Each tensor may lie in one shard only: write the checkpoint again.',
          },
        )
      }
      found.set(name, file)
    }
  }
  const mismatch = (file: string, tensor: string, reason: string) =>
    new TaskfoldError('INDEX_MISMATCH', `${index}: tensor ${quoteName(tensor)} ${reason}`, {
      file,
      tensor,
      hint: 'Index and shards belong to different checkpoints: fetch or write them again.',
    })
  for (const [tensor, shard] of weightMap) {
    const file = found.get(tensor)
    if (!file) throw mismatch(index, tensor, `is said to lie in ${shard}, but no shard holds it`)
    if (file.name !== shard)
      throw mismatch(index, tensor, `is said to lie in ${shard}, but lies in ${file.name}`)
  }
  for (const [tensor, file] of found) {
    if (!weightMap.has(tensor))
      throw mismatch(file.path, tensor, `lies in ${file.name}, but is missing from weight_map`)
  }
}

type CheckpointFrame = Pick<Checkpoint, 'source' | 'folder' | 'sharded' | 'config' | 'otherFiles'>

function assemble(
  frame: CheckpointFrame,
  files: CheckpointFile[],
  shards: readonly TensorInfo[][],
): Checkpoint {
  const byName = new Map<string, TensorInfo>()
  let totalBytes = 0
  for (const tensors of shards) {
    for (const tensor of tensors) {
      byName.set(tensor.name, tensor)
      totalBytes += tensor.length
    }
  }
  const tensors = new Map(sortNames([...byName.keys()]).map((name) => [name, byName.get(name)!]))
  return { ...frame, files, tensors, totalBytes }
}
