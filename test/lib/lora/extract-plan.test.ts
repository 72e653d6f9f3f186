import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readCheckpoint } from '../../../lib/checkpoint/open-checkpoint.js'
import { type ExtractChoice, planExtract } from '../../../lib/lora/extract-plan.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import type { TinyTensor } from '../../helpers/tiny-checkpoint.js'
import { writeModel } from '../../helpers/write-model.js'

const zeros = (shape: number[], dtype = 'F32'): TinyTensor => ({
  dtype,
  shape,
  data: new Array(shape.reduce((product, extent) => product * extent, 1)).fill(0),
})

const MODEL: Record<string, TinyTensor> = {
  'model.embed_tokens.weight': zeros([6, 4]),
  'model.layers.0.q_proj.weight': zeros([4, 4]),
  'model.layers.0.q_proj.bias': zeros([4]),
  'model.layers.0.up_proj.weight': zeros([8, 4]),
  'model.norm.weight': zeros([4]),
  'patch.weight': zeros([4, 1, 2, 2]),
  'lm_head.weight': zeros([6, 4]),
  cls_token: zeros([1, 1, 4]),
  counter: zeros([2], 'I64'),
}

async function plan(
  t: ExecutionContext,
  choice: ExtractChoice,
  tuned: Record<string, TinyTensor> = MODEL,
  config?: object,
) {
  const folder = tempFolder(t)
  const files: Record<string, string> = config === undefined ? {} : { 'config.json': JSON.stringify(config) }
  const base = await readCheckpoint(writeModel(join(folder, 'base'), { tensors: MODEL, files }))
  const model = await readCheckpoint(writeModel(join(folder, 'tuned'), { tensors: tuned, files }))
  return planExtract(base, model, choice)
}

const modules = ({ layers }: { layers: { module: string }[] }) => layers.map(({ module }) => module)

test('by default linear layers are taken; embeddings, heads and convolutions only when asked for', async (t) => {
  const plain = await plan(t, {})
  t.deepEqual(modules(plain), ['model.layers.0.q_proj', 'model.layers.0.up_proj'])
  t.deepEqual(
    plain.leftOut.map(({ tuned, base, reason }) => [tuned.name, base !== null, reason]),
    [
      ['cls_token', true, 'is no matrix'],
      ['counter', true, 'is I64'],
      ['lm_head.weight', true, 'is a head (--heads)'],
      ['model.embed_tokens.weight', true, 'is an embedding (--embeddings)'],
      ['model.layers.0.q_proj.bias', true, 'is no matrix'],
      ['model.norm.weight', true, 'is no matrix'],
      ['patch.weight', true, 'is a convolution (--conv)'],
    ],
  )
  const all = await plan(t, { embeddings: true, heads: true, conv: true })
  t.deepEqual(
    all.layers.map(({ module, kind, rows, columns, transposed }) => [
      module,
      kind,
      rows,
      columns,
      transposed,
    ]),
    [
      ['lm_head', 'linear', 6, 4, false],
      ['model.embed_tokens', 'embedding', 6, 4, true],
      ['model.layers.0.q_proj', 'linear', 4, 4, false],
      ['model.layers.0.up_proj', 'linear', 8, 4, false],
      ['patch', 'conv2d', 4, 4, false],
    ],
  )
})

test('include and exclude choose modules by name', async (t) => {
  t.deepEqual(modules(await plan(t, { include: [/q_proj$/, /^lm_head$/] })), [
    'lm_head',
    'model.layers.0.q_proj',
  ])
  t.deepEqual(modules(await plan(t, { exclude: [/up_/] })), ['model.layers.0.q_proj'])
  await t.throwsAsync(plan(t, { include: [/nothing/] }), { code: 'NOTHING_TO_MERGE' })
})

test('what the base lacks or has in another shape is stored whole, and so is what is asked for', async (t) => {
  const tuned = { ...MODEL, 'lm_head.weight': zeros([9, 4]), 'score.weight': zeros([2, 4]) }
  const found = await plan(t, { save: [/norm$/] }, tuned)
  t.deepEqual(
    found.saved.map(({ name }) => name),
    ['lm_head.weight', 'model.norm.weight', 'score.weight'],
  )
  t.false(found.candidates.includes('lm_head'))
})

test('Conv1D weights of GPT-2 are stored the other way round', async (t) => {
  const tensors = { 'h.0.attn.c_attn.weight': zeros([4, 12]), 'h.0.other.weight': zeros([4, 4]) }
  const folder = tempFolder(t)
  const files = { 'config.json': '{"model_type":"gpt2"}' }
  const base = await readCheckpoint(writeModel(join(folder, 'base'), { tensors, files }))
  const found = planExtract(base, base, {})
  t.deepEqual(
    found.layers.map(({ module, transposed }) => [module, transposed]),
    [
      ['h.0.attn.c_attn', true],
      ['h.0.other', false],
    ],
  )
})
