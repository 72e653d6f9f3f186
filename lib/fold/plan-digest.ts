import { createHash } from 'node:crypto'
import type { Checkpoint } from '../checkpoint/checkpoint-types.js'
import { FORMAT_VERSION } from '../pack/pack-format.js'
import { packageVersion } from './package-version.js'
import type { FoldPlan } from './plan-types.js'

/**
 * Digest of everything that decides the bytes of a family: inputs as they are now, options, format. Threads, device,
 * progress and `force` are left out: a run may go on with others.
 *
 * @param plan - a fold's plan
 * @returns hexadecimal SHA-256
 */
export function planDigest(plan: FoldPlan): string {
  const { lambda, density, scope, dtype, rows, nonFinite, index, values } = plan.settings
  const { rankRule, maxRank, copyBase, codec, target, deadZone } = plan.settings
  const facts = {
    format: FORMAT_VERSION,
    version: packageVersion(),
    options: {
      codec,
      target,
      deadZone,
      lambda,
      density,
      scope,
      dtype,
      rows,
      nonFinite,
      index,
      values,
      rankRule,
      maxRank,
      copyBase,
    },
    base: checkpointFacts(plan.inputs.base),
    tasks: plan.inputs.tasks.map(({ name, checkpoint }) => ({ name, ...checkpointFacts(checkpoint) })),
    adapters: plan.inputs.adapters.map(({ name, adapter }) => ({
      name,
      ...checkpointFacts(adapter.checkpoint),
      config: adapter.config,
      otherFiles: adapter.otherFiles,
    })),
    order: plan.settings.tasks.map(({ name }) => name),
  }
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex')
}

function checkpointFacts(checkpoint: Checkpoint) {
  return {
    source: checkpoint.source,
    sharded: checkpoint.sharded,
    config: checkpoint.config,
    otherFiles: checkpoint.otherFiles,
    files: checkpoint.files.map(({ path, name, size, mtimeMs, metadata }) => ({
      path,
      name,
      size,
      mtimeMs,
      metadata: Object.entries(metadata),
    })),
    tensors: [...checkpoint.tensors.values()].map(({ name, dtype, shape, file, offset }) => [
      name,
      dtype,
      shape,
      file,
      offset,
    ]),
  }
}
