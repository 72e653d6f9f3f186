import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import type { FoldInputs } from './plan-types.js'

/**
 * Everything that a fold reads, as checkpoints.
 *
 * @param inputs - the opened models
 * @returns base, full fine-tunes, and the weights of adapters
 */
export function inputModels({ base, tasks, adapters }: FoldInputs): Checkpoint[] {
  return [
    base,
    ...tasks.map(({ checkpoint }) => checkpoint),
    ...adapters.map(({ adapter }) => adapter.checkpoint),
  ]
}
