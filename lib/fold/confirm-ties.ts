import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { compareNames } from '../checkpoint/names.js'
import type { ModelInputs, Tie } from './plan-types.js'

/** Tells which tensors of one model look equal: the same string for the same dtype, shape and content. */
export type ContentOf = (
  checkpoint: Checkpoint,
  tensors: readonly TensorInfo[],
) => Promise<Map<string, string>>

/**
 * Keeps the ties that hold: in the base, or absent there, and in every task that has the name.
 *
 * @param inputs - the opened models
 * @param groups - names that may hold one tensor
 * @param contentOf - tells which tensors are equal
 * @returns the ties, in bytewise order of the names that are stored
 */
export async function confirmTies(
  inputs: ModelInputs,
  groups: readonly (readonly string[])[],
  contentOf: ContentOf,
): Promise<Tie[]> {
  const candidates = new Map<string, Set<string>>()
  for (const group of groups) {
    for (const name of group) {
      const partners = candidates.get(name) ?? new Set()
      candidates.set(name, partners)
      for (const other of group) if (other !== name) partners.add(other)
    }
  }
  if (candidates.size === 0) return []
  const models = [inputs.base, ...inputs.tasks.map((task) => task.checkpoint)]
  const contents: Map<string, string>[] = []
  for (const model of models) {
    const tensors = [...candidates.keys()].flatMap((name) => model.tensors.get(name) ?? [])
    const matrices = tensors.filter((tensor) => tensor.shape.length === 2 && tensor.length > 0)
    contents.push(matrices.length === 0 ? new Map() : await contentOf(model, matrices))
  }
  return choose(candidates, contents, models)
}

/** Of each group the name that most models have is stored; others join it where no model contradicts. */
function choose(
  candidates: ReadonlyMap<string, ReadonlySet<string>>,
  contents: readonly ReadonlyMap<string, string>[],
  models: readonly Checkpoint[],
): Tie[] {
  const spread = (name: string) => models.filter((model) => model.tensors.has(name)).length
  const order = [...candidates.keys()].sort((a, b) => spread(b) - spread(a) || compareNames(a, b))
  const taken = new Set<string>()
  const ties: Tie[] = []
  for (const of of order) {
    if (taken.has(of) || spread(of) === 0) continue
    const names = [...(candidates.get(of) ?? [])].filter((name) => {
      if (taken.has(name) || spread(name) === 0) return false
      return contents.every((content, i) => {
        if (!models[i]!.tensors.has(name)) return true
        const key = content.get(name)
        return key !== undefined && key === content.get(of)
      })
    })
    if (names.length === 0) continue
    for (const name of [of, ...names]) taken.add(name)
    ties.push({ of, names: names.sort(compareNames) })
  }
  return ties.sort((a, b) => compareNames(a.of, b.of))
}
