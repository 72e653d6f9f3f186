import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { copyModelFiles, listModelFiles } from '../../../lib/checkpoint/model-files.js'
import { tempFolder } from '../../helpers/temp-folder.js'

function put(folder: string, names: readonly string[]) {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), name)
  }
}

const kept = [
  '1_Pooling/config.json',
  'LICENSE',
  'LICENSE.txt',
  'README.md',
  'added_tokens.json',
  'additional_chat_templates/tool_use.jinja',
  'chat_template.jinja',
  'config.json',
  'configuration_custom.py',
  'generation_config.json',
  'merges.txt',
  'modeling_custom.py',
  'modules.json',
  'preprocessor_config.json',
  'processor_config.json',
  'scheduler/scheduler_config.json',
  'sentence_bert_config.json',
  'special_tokens_map.json',
  'spiece.model',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'vocab.json',
  'vocab.txt',
]

const leftOut = [
  '.cache/huggingface/x.json',
  '.git/config',
  '.gitattributes',
  '.hidden',
  '1_Pooling/model.safetensors',
  'adapter_model.bin',
  'checkpoint-500/config.json',
  'events.out.tfevents.1700000000.host',
  'flax_model.msgpack',
  'global_step100/x.json',
  'model-00001-of-00002.safetensors',
  'model.SAFETENSORS',
  'model.ckpt',
  'model.ckpt.data-00000-of-00001',
  'model.gguf',
  'model.npz',
  'model.onnx',
  'model.onnx_data',
  'model.pkl',
  'model.pt',
  'model.pth',
  'model.safetensors',
  'model.safetensors.index.fp16.json',
  'model.safetensors.index.json',
  'model.tflite',
  'onnx/model.onnx.data',
  'optimizer.pt',
  'original/consolidated.00.pth',
  'original/params.json',
  'pytorch_model.bin',
  'pytorch_model.bin.index.json',
  'rng_state_0.pth',
  'runs/Jan01/events.json',
  'rust_model.ot',
  'saved_model.pb',
  'scheduler.pt',
  'tf_model.h5',
  'tokenizer.json.incomplete',
  'trainer_state.json',
  'training_args.bin',
]

test('what belongs to a model and what does not', async (t) => {
  const folder = tempFolder(t)
  put(folder, [...kept, ...leftOut])
  t.deepEqual(await listModelFiles(folder), kept)
})

test('links: to files yes, to folders no; pipes no; deep folders no', async (t) => {
  const folder = tempFolder(t)
  put(folder, ['blobs/1', 'snap/a/b/c/d/ok.json', 'snap/a/b/c/d/e/deep.json', 'outside/secret.json'])
  symlinkSync('../blobs/1', join(folder, 'snap/config.json'))
  symlinkSync('../outside', join(folder, 'snap/folder'))
  symlinkSync('.', join(folder, 'snap/loop'))
  symlinkSync('nowhere', join(folder, 'snap/dangling.json'))
  execFileSync('mkfifo', [join(folder, 'snap/pipe.json')])
  const names = await listModelFiles(join(folder, 'snap'))
  t.deepEqual(names, ['a/b/c/d/ok.json', 'config.json', 'dangling.json'])
})

test('thousands of files are no model', async (t) => {
  const folder = tempFolder(t)
  for (let i = 0; i <= 10_000; i++) writeFileSync(join(folder, `${i}.txt`), '')
  t.like(await t.throwsAsync(listModelFiles(folder)), { code: 'NOT_A_CHECKPOINT', file: folder })
})

test('copies are plain, writable files, in the folder only', async (t) => {
  const root = tempFolder(t)
  const folder = join(root, 'model')
  put(folder, ['sub/x.json', 'read-only.json'])
  put(root, ['blob'])
  chmodSync(join(root, 'blob'), 0o444)
  symlinkSync('../blob', join(folder, 'config.json'))
  const otherFiles = await listModelFiles(folder)
  const target = join(root, 'target')
  await copyModelFiles({ folder, otherFiles }, target)
  await copyModelFiles({ folder, otherFiles }, target)
  t.deepEqual(readdirSync(target, { recursive: true }).sort(), [
    'config.json',
    'read-only.json',
    'sub',
    'sub/x.json',
  ])
  t.true(lstatSync(join(target, 'config.json')).isFile())
  t.is(readFileSync(join(target, 'config.json'), 'utf8'), 'blob')
  t.is(statSync(join(target, 'config.json')).mode & 0o777, 0o644)
})

test('names can be chosen; names that lead out are refused before anything is written', async (t) => {
  const root = tempFolder(t)
  const folder = join(root, 'model')
  put(folder, ['a', 'b'])
  put(root, ['secret'])
  const target = join(root, 'target')
  const checkpoint = { folder, otherFiles: ['a', 'b'] }
  for (const bad of ['../secret', '/etc/passwd', 'x/../../secret', '', '.', './a', 'a/', 'a\0']) {
    const error = await t.throwsAsync(copyModelFiles(checkpoint, target, { names: ['a', bad] }))
    t.like(error, { code: 'INVALID_ARGUMENT' })
  }
  t.deepEqual(readdirSync(root).sort(), ['model', 'secret'])
  await copyModelFiles(checkpoint, target, { names: ['b'] })
  t.deepEqual(readdirSync(target), ['b'])
})

test('a missing file is named; a folder in its place and a signal are errors', async (t) => {
  const root = tempFolder(t)
  mkdirSync(join(root, 'sub'))
  const copy = (names: string[], signal?: AbortSignal) =>
    t.throwsAsync(copyModelFiles({ folder: root, otherFiles: names }, join(root, 'target'), { signal }))
  t.like(await copy(['none.json']), { code: 'NOT_FOUND', file: join(root, 'none.json') })
  t.like(await copy(['sub']), { code: 'IO_ERROR' })
  t.like(await copy(['none.json'], AbortSignal.abort()), { code: 'CANCELLED' })
})
