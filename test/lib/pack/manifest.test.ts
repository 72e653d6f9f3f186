import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { readManifest, writeManifest } from '../../../lib/pack/manifest.js'
import type { Manifest, ManifestRankRule } from '../../../lib/pack/manifest-types.js'
import { tempFolder } from '../../helpers/temp-folder.js'

const print = (digit: string) => digit.repeat(32)

function manifest(): Manifest {
  return {
    taskfold: { format: 1, version: '1.2.3' },
    method: {
      merge: 'task-arithmetic',
      lambda: 0.3,
      density: 0.1,
      scope: 'global',
      nonFinite: 'error',
      dtype: 'keep',
    },
    base: { name: 'org/base@main', bytes: 10, fingerprint: print('a') },
    merged: {
      bytes: 30,
      files: [
        { path: 'merged/config.json', bytes: 10, fingerprint: print('b') },
        { path: 'merged/model.safetensors', bytes: 20, fingerprint: print('c') },
      ],
      tensors: { b: print('1'), '10': print('2'), '9': print('3'), a: print('4') },
    },
    tasks: [
      {
        name: 'one',
        source: { name: 'one', bytes: 20 },
        codec: 'exact',
        kept: 1,
        elements: 10,
        bytes: 7,
        originalBytes: 20,
        files: [{ path: 'tasks/one/delta.safetensors', bytes: 7, fingerprint: print('d') }],
        sharedFiles: ['config.json'],
        metadata: { format: 'pt', a: '1' },
        shards: { z: 'model.safetensors' },
      },
    ],
  }
}

test('what is written is read back, in bytes that depend on the content alone', async (t) => {
  const folder = tempFolder(t)
  await writeManifest(folder, manifest())
  const first = readFileSync(`${folder}/family.json`, 'utf8')
  t.true(first.endsWith('}\n'))
  // Bytewise order, also where JavaScript would put integers first.
  t.deepEqual(
    first.match(/"(10|9|a|b)": "[1-4]{32}"/g)?.map((line) => line.split('"')[1]),
    ['10', '9', 'a', 'b'],
  )
  const read = await readManifest(folder)
  t.deepEqual(JSON.parse(JSON.stringify(read)), JSON.parse(JSON.stringify(manifest())))
  const shuffled = manifest()
  shuffled.merged!.tensors = Object.fromEntries(Object.entries(shuffled.merged!.tensors).reverse())
  await writeManifest(folder, shuffled)
  t.is(readFileSync(`${folder}/family.json`, 'utf8'), first)
  t.deepEqual(readdirSync(folder), ['family.json'])
})

/** A family of LoRA tasks alone. */
function loraManifest(): Manifest {
  const { taskfold } = manifest()
  const file = (name: string, bytes: number) => {
    return { path: `tasks/one/${name}`, bytes, fingerprint: print('d') }
  }
  return {
    taskfold,
    method: { lora: { rule: { kind: 'energy', share: 0.9 }, maxRank: 8 } },
    base: { name: 'base', bytes: 10, fingerprint: print('a'), reference: '../base' },
    tasks: [
      {
        name: 'one',
        source: { name: 'adapter', bytes: 20 },
        codec: 'lora',
        rank: 4,
        layers: [
          { module: 'a.q', rank: 4, originalRank: 16, retainedEnergy: 0.9375, relativeError: 0.25 },
          { module: 'b.q', rank: 1, originalRank: 16, retainedEnergy: 1, relativeError: 0 },
        ],
        bytes: 9,
        originalBytes: 20,
        files: [file('adapter_config.json', 2), file('adapter_model.safetensors', 7)],
      },
    ],
  }
}

test('a manifest of LoRA tasks has no θ*, and comes back as it was', async (t) => {
  const folder = tempFolder(t)
  await writeManifest(folder, loraManifest())
  t.deepEqual(await readManifest(folder), loraManifest())
  t.false(readFileSync(`${folder}/family.json`, 'utf8').includes('merged'))
})

test('every rule for ranks is kept', async (t) => {
  const folder = tempFolder(t)
  const rules: ManifestRankRule[] = [
    { kind: 'rank', rank: 8 },
    { kind: 'sv-ratio', ratio: 2.5 },
    { kind: 'sv-fro', share: 0.9 },
    { kind: 'sv-cumulative', share: 0.9 },
    { kind: 'budget', parameters: 1000 },
    { kind: 'budget-bytes', bytes: 4000 },
  ]
  for (const rule of [...rules, null]) {
    await writeManifest(folder, { ...loraManifest(), method: { lora: { rule } } })
    t.deepEqual((await readManifest(folder)).method, { lora: { rule } })
  }
})

test('a manifest that contradicts the format is not written', async (t) => {
  const folder = tempFolder(t)
  const wrong = manifest()
  wrong.tasks[0]!.bytes = 8
  const error = await t.throwsAsync(writeManifest(folder, wrong), { instanceOf: TaskfoldError })
  t.is(error.code, 'PACK_INVALID')
  t.deepEqual(readdirSync(folder), [])
})

test('maps of names have no prototype to inherit from', async (t) => {
  const folder = tempFolder(t)
  const named = manifest()
  named.merged!.tensors = Object.fromEntries([['__proto__', print('5')]])
  await writeManifest(folder, named)
  const { tensors } = (await readManifest(folder)).merged!
  t.deepEqual(Object.entries(tensors), [['__proto__', print('5')]])
  t.false('constructor' in tensors)
})

test('a folder without a manifest is no family', async (t) => {
  const error = await t.throwsAsync(readManifest(tempFolder(t)), { instanceOf: TaskfoldError })
  t.is(error.code, 'NOT_A_FAMILY')
})
