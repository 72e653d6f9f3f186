import { symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readSafetensorsHeader } from '../../../lib/checkpoint/safetensors-header.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { tinyRaw, tinySafetensors } from '../../helpers/tiny-checkpoint.js'

test('tensors in the order of their bytes, with absolute offsets', async (t) => {
  const path = join(tempFolder(t), 'x.safetensors')
  const bytes = tinySafetensors({
    metadata: { format: 'pt', z: '1', a: '2' },
    tensors: {
      b: { dtype: 'F32', shape: [2, 1], data: [1, 2] },
      a: { dtype: 'U8', shape: [], data: [7] },
      empty: { dtype: 'I64', shape: [3, 0], data: [] },
    },
  })
  writeFileSync(path, bytes)
  const { file, tensors } = await readSafetensorsHeader(path)
  const start = bytes.length - 9
  t.deepEqual(tensors, [
    { name: 'b', dtype: 'F32', shape: [2, 1], elements: 2, file: path, offset: start, length: 8 },
    { name: 'a', dtype: 'U8', shape: [], elements: 1, file: path, offset: start + 8, length: 1 },
    { name: 'empty', dtype: 'I64', shape: [3, 0], elements: 0, file: path, offset: start + 9, length: 0 },
  ])
  t.like(file, { path, name: 'x.safetensors', size: bytes.length })
  t.deepEqual(file.tensors, ['b', 'a', 'empty'])
  t.deepEqual(Object.entries(file.metadata), [
    ['format', 'pt'],
    ['z', '1'],
    ['a', '2'],
  ])
})

test('header order and byte order may differ', async (t) => {
  const path = join(tempFolder(t), 'x.safetensors')
  const json =
    '{"late":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"early":{"shape":[1],"data_offsets":[0,1],"dtype":"U8"}}'
  writeFileSync(path, tinyRaw(json, Buffer.from([1, 2])))
  const { tensors } = await readSafetensorsHeader(path, 'other name')
  t.deepEqual(
    tensors.map(({ name }) => name),
    ['early', 'late'],
  )
})

test('what is legal: no tensors, padding, empty tensors anywhere at a border, unaligned data, sub-byte dtypes', async (t) => {
  const path = join(tempFolder(t), 'x.safetensors')
  const legal: [string, number][] = [
    ['{}', 0],
    ['{}      \n\t\r ', 0],
    ['{"__metadata__":{}}', 0],
    ['{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', 0],
    [
      '{"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"F32","shape":[1],"data_offsets":[1,5]},' +
        '"c":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},"d":{"dtype":"F32","shape":[5,0],"data_offsets":[5,5]}}',
      5,
    ],
    [
      '{"a":{"dtype":"F4","shape":[2,3],"data_offsets":[0,3]},"b":{"dtype":"F6_E2M3","shape":[4],"data_offsets":[3,6]}}',
      6,
    ],
    ['{"a":{"x":{"y":[1,null,"z",-1.5e3]},"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1],
    [`{"a":{"dtype":"U8","shape":[${Array(64).fill(1)}],"data_offsets":[0,1]}}`, 1],
  ]
  for (const [json, dataBytes] of legal) {
    writeFileSync(path, tinyRaw(json, Buffer.alloc(dataBytes)))
    await t.notThrowsAsync(readSafetensorsHeader(path), json)
  }
})

test('names of object properties are names like any other', async (t) => {
  const path = join(tempFolder(t), 'x.safetensors')
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', '0', '\u2028', 'ä😀', 'a"\\\n']
  const tensors = new Map(names.map((name) => [name, { dtype: 'U8', shape: [1], data: [1] }]))
  const metadata = JSON.parse('{"__proto__":"1","constructor":"2"}')
  writeFileSync(path, tinySafetensors({ tensors, metadata }))
  const { file, tensors: read } = await readSafetensorsHeader(path)
  t.deepEqual(
    read.map(({ name }) => name),
    names,
  )
  t.is(Object.getPrototypeOf(file.metadata), null)
  t.deepEqual(Object.entries(file.metadata), [
    ['__proto__', '1'],
    ['constructor', '2'],
  ])
})

test('symbolic links are followed and kept as the path', async (t) => {
  const folder = tempFolder(t)
  writeFileSync(join(folder, 'blob'), tinySafetensors({ tensors: {} }))
  symlinkSync('blob', join(folder, 'model.safetensors'))
  const { file } = await readSafetensorsHeader(join(folder, 'model.safetensors'))
  t.is(file.path, join(folder, 'model.safetensors'))
  t.is(file.size, 10)
})

test('a header of 100 000 tensors in falling byte order', async (t) => {
  const path = join(tempFolder(t), 'x.safetensors')
  const count = 100_000
  const entry = (i: number) =>
    `"layer.${i}":{"dtype":"U8","shape":[1],"data_offsets":[${count - 1 - i},${count - i}]}`
  writeFileSync(path, tinyRaw(`{${Array.from({ length: count }, (_, i) => entry(i))}}`, Buffer.alloc(count)))
  const { tensors } = await readSafetensorsHeader(path)
  t.is(tensors.length, count)
  t.is(tensors[0]?.name, `layer.${count - 1}`)
})

test('a signal stops it', async (t) => {
  const path = join(tempFolder(t), 'x.safetensors')
  writeFileSync(path, tinySafetensors({ tensors: {} }))
  t.like(await t.throwsAsync(readSafetensorsHeader(path, 'x', AbortSignal.abort())), { code: 'CANCELLED' })
})
