import type { SparseCodec } from '../binding/binding-types.js'
import { ARRAY_SUFFIXES } from './stored-arrays.js'

/** What decides the stored names of one tensor. */
export interface StemRequest {
  name: string
  kind: 'delta' | 'rows' | 'whole' | 'same' | 'alias'
}

/**
 * Chooses the stem of every stored tensor: its name, or the name with `~1`, `~2`… when one of its stored names is taken
 * already. Depends on the list alone. Stems are unique over all files of a task, so that the index is unambiguous.
 *
 * @param tensors - all tensors of a task, in bytewise order of their names
 * @param codec - of the task: only int4 stores scales
 * @returns stems by tensor name; tensors that store nothing have none
 */
export function chooseStems(
  tensors: readonly StemRequest[],
  codec: SparseCodec = 'exact',
): Map<string, string> {
  // The header's own key is no tensor name.
  const taken = new Set<string>(['__metadata__'])
  const stems = new Map<string, string>()
  for (const { name, kind } of tensors) {
    if (kind === 'same' || kind === 'alias') continue
    for (let i = 0; ; i++) {
      const stem = i === 0 ? name : `${name}~${i}`
      const names = storedNames(stem, kind, codec)
      if (names.some((stored) => taken.has(stored))) continue
      for (const stored of names) taken.add(stored)
      stems.set(name, stem)
      break
    }
  }
  return stems
}

function storedNames(stem: string, kind: StemRequest['kind'], codec: SparseCodec): string[] {
  if (kind === 'whole') return [stem]
  const suffixes = ARRAY_SUFFIXES.filter((suffix) => suffix !== 'scale' || codec === 'int4')
  const names = suffixes.map((suffix) => `${stem}.${suffix}`)
  return kind === 'rows' ? [...names, `${stem}.rows`] : names
}
