import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ADAPTER_CONFIG_FILE } from '../pack/pack-format.js'
import type { FoldSettings } from './fold-options.js'
import { packableFiles } from './packable-files.js'
import type { AdapterPrediction, PlannedAdapter } from './plan-types.js'

/** Shapes and offsets of a tensor in a header may have more digits than before. */
const HEADER_PER_TENSOR = 64
/** A configuration is written anew, indented, with other values. */
const CONFIG_SLACK = 4096
/** rank_pattern and alpha_pattern name a module each, with a rank. */
const PATTERNS_PER_MODULE = 2 * 24

/**
 * Upper bound of what a LoRA task takes. Only the rule `rank` makes a layer's rank larger than it was: up to the largest
 * of the adapter.
 *
 * @param planned - the task
 * @param settings - how ranks are chosen
 * @returns bytes by what they are spent on
 */
export async function predictAdapter(
  { name, adapter }: PlannedAdapter,
  { rankRule, maxRank = Number.POSITIVE_INFINITY }: Pick<FoldSettings, 'rankRule' | 'maxRank'>,
): Promise<AdapterPrediction> {
  const { layers, checkpoint, folder, rest } = adapter
  const originalRank = layers.reduce((most, { rank }) => Math.max(most, rank), 0)
  const rankOf = (own: number) => {
    if (rankRule === null) return own
    return Math.min(maxRank, rankRule.kind === 'rank' ? Math.min(rankRule.rank, originalRank) : own)
  }
  let factors = 0
  let names = 0
  for (const { a, b, rank, module } of layers) {
    factors += ((a.length + b.length) / rank) * rankOf(rank)
    names += 2 * Buffer.byteLength(module) + PATTERNS_PER_MODULE
  }
  const whole = rest.reduce((sum, { length }) => sum + length, 0)
  const fileBytes = checkpoint.files.reduce((sum, { size }) => sum + size, 0)
  const config = 2 * (await size(join(folder, ADAPTER_CONFIG_FILE))) + CONFIG_SLACK + names
  let overhead = fileBytes - checkpoint.totalBytes + HEADER_PER_TENSOR * checkpoint.tensors.size + config
  for (const file of packableFiles(adapter)) overhead += await size(join(folder, file))
  return {
    name,
    bytes: factors + whole + overhead,
    factors,
    whole,
    overhead,
    originalBytes: checkpoint.totalBytes,
    layers: layers.length,
    originalRank,
    rank: layers.reduce((most, { rank }) => Math.max(most, rankOf(rank)), 0),
  }
}

/** A file that vanished is reported when it is copied. */
async function size(path: string): Promise<number> {
  return stat(path).then(
    (found) => found.size,
    () => 0,
  )
}
