import { folderBytes } from './folder-bytes.mjs'
import { runTaskfold } from './run-taskfold.mjs'

/**
 * Folds the example family's adapters at several ranks, unfolds every task as a whole model, and counts.
 *
 * @param {object} options
 * @param {string} options.family the folder with base/ and lora/
 * @param {string} options.work folder for what is made
 * @param {string[]} options.tasks
 * @param {(encoder: (task: string) => string, head: (task: string) => string) => Promise<Record<string, number>>} options.evaluate
 * counts right answers by task with these files
 * @returns {Promise<import('./result-table.mjs').Row[]>}
 */
export async function loraRows({ family, work, tasks, evaluate }) {
  const base = `${family}/base`
  const adapters = tasks.flatMap((task) => ['--task', `${task}=${family}/lora/${task}`])
  const isWeights = (name) => name.endsWith('.safetensors')
  const baseBytes = folderBytes(base, isWeights)
  const rows = []
  // null: the adapters as they are.
  for (const rank of [null, 8, 4, 2, 1]) {
    const name = `lora-${rank ?? 'as-is'}`
    const folded = `${work}/${name}`
    // One family is shown in full.
    const brief = rank !== 4
    const run = (...args) => runTaskfold(brief ? [...args, '--quiet'] : args, { brief })
    run('fold', base, ...adapters, '-o', folded, ...(rank === null ? [] : ['--rank', String(rank)]))
    run('verify', folded)
    run('unfold', folded, '--all', '--merged', '-o', `${folded}-unfolded`)
    if (!brief) run('inspect', folded)
    const model = (task) => `${folded}-unfolded/${task}/model.safetensors`
    rows.push({
      label: rank === null ? 'LoRA adapters, rank 8' : `LoRA folded, rank ${rank}`,
      // At rank 8 nothing is cut off.
      reference: rank === null || rank === 8 ? 'lora single-task' : `peru-lora rank ${rank}`,
      correct: await evaluate(model, model),
      deltaBytes: folderBytes(`${folded}/tasks`, isWeights) / tasks.length,
      totalBytes: baseBytes + folderBytes(folded),
    })
  }
  const merged = `${work}/lora-merged`
  runTaskfold(['merge', base, ...adapters, '--lambda', '0.3', '-o', merged, '--quiet'], { brief: true })
  rows.splice(1, 0, {
    label: 'LoRA merged only, heads apart',
    reference: 'lora task-arithmetic l=0.3',
    correct: await evaluate(
      () => `${merged}/model.safetensors`,
      (task) => `${work}/lora-as-is-unfolded/${task}/model.safetensors`,
    ),
    deltaBytes: null,
    totalBytes: folderBytes(merged, isWeights),
  })
  return rows
}
