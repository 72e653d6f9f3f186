import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { setConfigDtype } from '../../../lib/fold/config-dtype.js'
import { tempFolder } from '../../helpers/temp-folder.js'

test('the dtype is replaced where it stands, nested configs included', async (t) => {
  const folder = tempFolder(t)
  const path = join(folder, 'config.json')
  const config = {
    model_type: 'm',
    torch_dtype: 'float32',
    text_config: { dtype: 'float32' },
    other: { dtype: 'x' },
  }
  writeFileSync(path, JSON.stringify(config))
  await setConfigDtype(folder, 'BF16')
  t.deepEqual(JSON.parse(readFileSync(path, 'utf8')), {
    model_type: 'm',
    torch_dtype: 'bfloat16',
    text_config: { dtype: 'bfloat16' },
    other: { dtype: 'x' },
  })
})

for (const [name, text] of Object.entries({
  'says nothing of a dtype': '{ "model_type":"m" }',
  'says it already': '{ "torch_dtype":   "float16" }',
  'is not plain JSON': '{ "torch_dtype": "float32", "x": NaN }',
  'is a list': '["torch_dtype"]',
})) {
  test(`a config.json that ${name} keeps its bytes`, async (t) => {
    const folder = tempFolder(t)
    writeFileSync(join(folder, 'config.json'), text)
    await setConfigDtype(folder, 'F16')
    t.is(readFileSync(join(folder, 'config.json'), 'utf8'), text)
  })
}

test('a folder without config.json is left alone', async (t) => {
  await t.notThrowsAsync(setConfigDtype(tempFolder(t), 'F32'))
})
