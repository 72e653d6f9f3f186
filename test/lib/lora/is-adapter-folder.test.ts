import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { isAdapterFolder } from '../../../lib/lora/is-adapter-folder.js'
import { tempFolder } from '../../helpers/temp-folder.js'

test('a configuration of PEFT without weights of a model', async (t) => {
  const folder = tempFolder(t)
  t.false(await isAdapterFolder(folder))
  writeFileSync(join(folder, 'adapter_config.json'), '{')
  t.true(await isAdapterFolder(folder))
  writeFileSync(join(folder, 'model.safetensors'), '')
  t.false(await isAdapterFolder(folder))
})

test('an index of shards makes it a model', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'adapter_config.json'), '{}')
  writeFileSync(join(folder, 'model.safetensors.index.json'), '{}')
  t.false(await isAdapterFolder(folder))
})

test('org/name of the cache', async (t) => {
  const cacheDir = tempFolder(t)
  const snapshot = join(cacheDir, 'models--org--lora', 'snapshots', 'b'.repeat(40))
  mkdirSync(snapshot, { recursive: true })
  writeFileSync(join(snapshot, 'adapter_config.json'), '{}')
  t.true(await isAdapterFolder(`org/lora@${'b'.repeat(40)}`, { cacheDir }))
  t.false(await isAdapterFolder('org/lora', { cacheDir }))
  t.false(await isAdapterFolder('org/else', { cacheDir }))
})

test('what is no path is no adapter', async (t) => {
  for (const source of ['', 'a\0b', '/nowhere/at/all', undefined as unknown as string])
    t.false(await isAdapterFolder(source))
})
