import { rmSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { assertUnchanged } from '../../../lib/checkpoint/unchanged.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { tinySafetensors } from '../../helpers/tiny-checkpoint.js'

test('assertUnchanged notices size, time and removal', async (t) => {
  const path = join(tempFolder(t), 'model.safetensors')
  writeFileSync(path, tinySafetensors({ tensors: { a: { dtype: 'U8', shape: [1], data: [7] } } }))
  const checkpoint = await readCheckpoint(path)
  const { size } = checkpoint.files[0]!
  await assertUnchanged(checkpoint)
  utimesSync(path, 1, 1)
  t.like(await t.throwsAsync(assertUnchanged(checkpoint)), { code: 'INPUT_CHANGED', file: path })
  truncateSync(path, size + 1)
  const error = await t.throwsAsync(assertUnchanged(checkpoint))
  t.regex(error?.message ?? '', /had \d+ bytes and now has/)
  rmSync(path)
  t.like(await t.throwsAsync(assertUnchanged(checkpoint)), { code: 'INPUT_CHANGED', file: path })
})
