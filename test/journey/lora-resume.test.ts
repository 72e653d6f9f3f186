import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type FoldOptions, fold, verify } from '../../lib/index.js'
import { loraBase, loraLayers } from '../helpers/lora-models.js'
import { runFoldChild } from '../helpers/run-fold-child.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { treeDigest } from '../helpers/tree-digest.js'
import { writePeftAdapter } from '../helpers/write-adapter.js'
import { writeModel } from '../helpers/write-model.js'

function family(t: ExecutionContext, mixed: boolean): FoldOptions & { folder: string } {
  const folder = tempFolder(t)
  const model = (name: string, seed: number) => {
    const tensors = Object.entries(loraBase(seed))
    return writeModel(join(folder, name), {
      shards: {
        'model-00001-of-00002.safetensors': Object.fromEntries(tensors.slice(0, 4)),
        'model-00002-of-00002.safetensors': Object.fromEntries(tensors.slice(4)),
      },
      files: { 'config.json': '{}' },
    })
  }
  const tasks = ['a', 'b'].map((name, i) => {
    writePeftAdapter(join(folder, name), { layers: loraLayers(3), seed: i + 5, files: { 'README.md': name } })
    return { name, path: join(folder, name) }
  })
  if (mixed) tasks.splice(1, 0, { name: 'full', path: model('full', 2) })
  return { folder, base: model('base', 1), tasks, output: join(folder, 'family'), rank: 2, copyBase: true }
}

for (const mixed of [true, false]) {
  test(`killed at any step, a ${mixed ? 'mixed' : 'pure'} family goes on and gives the same bytes`, async (t) => {
    const options = family(t, mixed)
    const expected = join(options.folder, 'undisturbed')
    await fold({ ...options, output: expected })
    const wanted = treeDigest(expected)
    let step = 1
    for (; step < 40; step++) {
      const { killed } = await runFoldChild(options, step)
      if (!killed) break
      t.false(existsSync(options.output), `nothing under the final name after step ${step}`)
      const { resumed } = await fold(options)
      t.true(step === 1 || resumed !== null, `step ${step}`)
      t.deepEqual(treeDigest(options.output), wanted, `step ${step}`)
      t.deepEqual(
        readdirSync(options.folder).filter((name) => name.startsWith('family')),
        ['family'],
      )
      rmSync(options.output, { recursive: true })
    }
    // Plan, fingerprints, two shards of base/; with θ* also merge, thresholds, its shards and the delta.
    t.is(step - 1, mixed ? 10 : 4)
    t.deepEqual(treeDigest(options.output), wanted)
    await verify(options.output)
  })
}

test('what lies in a task’s folder of a killed run does not stay', async (t) => {
  const options = family(t, false)
  const expected = join(options.folder, 'undisturbed')
  await fold({ ...options, output: expected })
  await runFoldChild(options, 3)
  const partial = `${options.output}.partial`
  mkdirSync(join(partial, 'tasks/a'), { recursive: true })
  writeFileSync(join(partial, 'tasks/a/stray.txt'), 'x')
  writeFileSync(join(partial, 'tasks/a/adapter_model.safetensors'), Buffer.alloc(100_000, 1))
  await fold(options)
  t.deepEqual(treeDigest(options.output), treeDigest(expected))
})

test('another rule, another adapter or base, and it starts afresh', async (t) => {
  const options = family(t, false)
  await runFoldChild(options, 4)
  t.is((await fold({ ...options, rank: 1 })).resumed, null)
  for (const path of ['a/adapter_model.safetensors', 'base/model-00001-of-00002.safetensors']) {
    rmSync(options.output, { recursive: true })
    await runFoldChild(options, 4)
    utimesSync(join(options.folder, path), new Date(0), new Date(0))
    t.is((await fold(options)).resumed, null, path)
  }
})
