import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { TaskfoldError } from '../../../lib/errors/taskfold-error.js'
import { formatBytes } from '../../../lib/report/format-bytes.js'
import { formatInspection } from '../../../lib/report/format-inspection.js'
import { inspect } from '../../../lib/report/inspect.js'
import type {
  CheckpointInspection,
  ExactTaskInspection,
  FamilyInspection,
} from '../../../lib/report/inspection-types.js'
import { naivePack } from '../../helpers/naive-pack.js'
import { sampleFamily } from '../../helpers/sample-family.js'
import { tempFolder } from '../../helpers/temp-folder.js'

test('a family: bytes add up, kinds and codes are counted', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  const result = (await inspect(root, { tensors: true })) as FamilyInspection
  t.is(result.kind, 'family')
  const onDisk = (folder: string) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
  t.is(result.totals.familyBytes, onDisk(root))
  t.is(result.merged!.bytes, onDisk(join(root, 'merged')))
  const [one, two] = result.tasks as ExactTaskInspection[]
  t.is(one!.bytes, onDisk(join(root, 'tasks/one')))
  t.is(
    Object.values(one!.stored).reduce((sum, bytes) => sum + bytes, 0),
    one!.bytes,
  )
  t.deepEqual(one!.kinds, { delta: 7, rows: 1, whole: 3, same: 1, alias: 1 })
  t.deepEqual(one!.indexCodes, { u16: 4, bitmap: 2, rice: 0, all: 0 })
  t.deepEqual(one!.valueCodes, { plain: 6, coded: 0, sign: 0, int4: 0 })
  t.is(one!.kept, 1 + 6 + 3 + 101 + 1 + 2)
  t.is(one!.density, one!.kept / one!.elements)
  t.is(two!.stored.otherFiles, 0)
  t.is(result.totals.originalBytes, one!.originalBytes + two!.originalBytes)
  const table = one!.tensors!.find((tensor) => tensor.name === 'table')!
  t.deepEqual(
    [table.kind, table.bytes, table.storedBytes, table.kept, table.index],
    ['rows', 96, 56, 2, 'u16'],
  )
  t.deepEqual(JSON.parse(JSON.stringify(result)), result)
  const [unlisted] = ((await inspect(root)) as FamilyInspection).tasks as ExactTaskInspection[]
  t.is(unlisted!.tensors, undefined)
})

test('a checkpoint: tensors, dtypes, shards, metadata', async (t) => {
  const root = await naivePack(join(tempFolder(t), 'family'), sampleFamily())
  const result = (await inspect(join(root, 'merged'), { tensors: true })) as CheckpointInspection
  t.is(result.kind, 'checkpoint')
  t.true(result.sharded)
  t.deepEqual(
    result.files.map((file) => [file.name, file.tensors, file.metadata]),
    [
      ['model-00001-of-00002.safetensors', 4, { format: 'pt' }],
      ['model-00002-of-00002.safetensors', 6, { format: 'pt' }],
    ],
  )
  t.deepEqual(result.dtypes[0], { dtype: 'F32', tensors: 4, elements: 140005, bytes: 560020 })
  t.is(
    result.totals.bytes,
    result.dtypes.reduce((sum, row) => sum + row.bytes, 0),
  )
  t.is(result.tensors!.length, result.totals.tensors)
  t.deepEqual(result.otherFiles, ['config.json', 'tokenizer.json'])
})

test('the text has aligned columns, and no control character of a name reaches the terminal', async (t) => {
  const family = sampleFamily()
  const evil = '\x1b[2Jevil\n'
  family.tasks.two!.tensors.push({
    kind: 'whole',
    name: evil,
    dtype: 'U8',
    shape: [8],
    data: new Uint8Array(8),
  })
  const root = await naivePack(join(tempFolder(t), 'family'), family)
  const text = formatInspection(await inspect(root, { tensors: true }))
  t.false(text.includes('\x1b'))
  const lines = text.split('\n')
  t.true(lines.some((line) => line.includes('\\u001b[2Jevil')))
  const header = lines.findIndex((line) => line.startsWith('task '))
  for (const line of lines.slice(header, header + 3)) t.is(line.length, lines[header]!.length, line)
  t.regex(text, /one model per task/)
  const checkpoint = formatInspection(await inspect(join(root, 'merged'), { tensors: true }))
  t.regex(checkpoint, /metadata: format=pt/)
  t.regex(checkpoint, /other files: config.json, tokenizer.json/)
})

test('sizes have three digits', (t) => {
  const sizes = [0, 999, 1000, 1234, 99949, 999499, 999500, 2.5e9, 9.1e18]
  t.deepEqual(sizes.map(formatBytes), [
    '0 B',
    '999 B',
    '1.00 kB',
    '1.23 kB',
    '99.9 kB',
    '999 kB',
    '1.00 MB',
    '2.50 GB',
    '9100 PB',
  ])
})

test('what is neither is explained', async (t) => {
  const error = await t.throwsAsync(inspect(tempFolder(t)), { instanceOf: TaskfoldError })
  t.is(error.code, 'NOT_A_CHECKPOINT')
})
