import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { type ContentOf, confirmTies } from './confirm-ties.js'
import type { ModelInputs, Tie } from './plan-types.js'

/**
 * Finds the names that seem to hold one tensor (tied embeddings): models whose config says tie_word_embeddings, and
 * names that a file's metadata records as dropped for another.
 *
 * @param inputs - the opened models
 * @param contentOf - tells which tensors look equal; cheap, since it is asked about many
 * @returns the apparent ties, in bytewise order of the names that are stored
 */
export async function findTies(inputs: ModelInputs, contentOf: ContentOf): Promise<Tie[]> {
  const groups: string[][] = []
  for (const model of [inputs.base, ...inputs.tasks.map((task) => task.checkpoint)]) {
    groups.push(...(await tiedByConfig(model, contentOf)), ...tiedByMetadata(model))
  }
  return confirmTies(inputs, groups, contentOf)
}

async function tiedByConfig(model: Checkpoint, contentOf: ContentOf): Promise<string[][]> {
  if (!configTies(model.config)) return []
  const groups = groupBy([...model.tensors.values()].filter(isMatrix), matrixKey)
  const alike = [...groups.values()].filter((group) => group.length > 1).flat()
  if (alike.length === 0) return []
  const contents = await contentOf(model, alike)
  const equal = groupBy(alike, (tensor) => contents.get(tensor.name) ?? tensor.name)
  return [...equal.values()].filter((group) => group.length > 1).map((group) => group.map(({ name }) => name))
}

function tiedByMetadata(model: Checkpoint): string[][] {
  return model.files.flatMap((file) =>
    Object.entries(file.metadata).filter(([dropped, kept]) => dropped !== kept && model.tensors.has(kept)),
  )
}

function configTies(config: Checkpoint['config']): boolean {
  if (config === null) return false
  const text = config.text_config
  const nested =
    typeof text === 'object' && text !== null && (text as Record<string, unknown>).tie_word_embeddings
  return config.tie_word_embeddings === true || nested === true
}

function isMatrix(tensor: TensorInfo): boolean {
  return tensor.shape.length === 2 && tensor.length > 0
}

function matrixKey(tensor: TensorInfo): string {
  return `${tensor.dtype}[${tensor.shape.join(',')}]`
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const key = keyOf(item)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [item])
    else group.push(item)
  }
  return groups
}
