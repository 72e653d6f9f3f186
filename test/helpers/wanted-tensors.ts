import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { readCheckpoint } from '../../lib/checkpoint/open-checkpoint.js'
import { readTensor } from '../../lib/checkpoint/read-tensor.js'
import type { Family } from '../../lib/materialize/open-family.js'

/**
 * What a model in memory must hold.
 *
 * @param family - the open family
 * @param task - what the model is; null: θ*
 * @returns tensors by name
 */
export async function wantedTensors(
  family: Family,
  task: string | null,
): Promise<Map<string, { dtype: string; shape: readonly number[]; data: Uint8Array }>> {
  const wanted = new Map<string, { dtype: string; shape: readonly number[]; data: Uint8Array }>()
  if (task === null) {
    const merged = await readCheckpoint(join(family.path, 'merged'))
    for (const name of merged.tensors.keys()) wanted.set(name, await readTensor(merged, name))
  } else {
    for await (const tensor of family.tensors(task)) wanted.set(tensor.name, tensor)
  }
  return wanted
}

/** What a model in any memory can do. */
interface SwitchedModel {
  read(name: string): Promise<{ data: Uint8Array }>
  switchTo(task: string): Promise<unknown>
  close(): Promise<unknown>
}

/**
 * Reads between switches that are all started at once must see the task of their turn.
 *
 * @param t - the test
 * @param family - the sample family
 * @param model - loaded from it as task one; closed afterwards
 */
export async function callsTakeTurns(
  t: ExecutionContext,
  family: Family,
  model: SwitchedModel,
): Promise<void> {
  const one = (await family.tensor('a', { task: 'one' })).data
  const two = (await family.tensor('a', { task: 'two' })).data
  const [first, , second, , third] = await Promise.all([
    model.read('a'),
    model.switchTo('two'),
    model.read('a'),
    model.switchTo('one'),
    model.read('a'),
    model.close(),
  ])
  const got = [first, second, third].map(({ data }) => Buffer.from(data))
  t.deepEqual(got, [Buffer.from(one), Buffer.from(two), Buffer.from(one)])
}
