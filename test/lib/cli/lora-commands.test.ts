import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { callCli as call } from '../../helpers/call-cli.js'
import { tempFolder } from '../../helpers/temp-folder.js'
import { writePeftAdapter } from '../../helpers/write-adapter.js'
import { writeModel } from '../../helpers/write-model.js'

function models(t: ExecutionContext) {
  const folder = tempFolder(t)
  const model = (name: string, value: number) => {
    const data = Array.from({ length: 64 }, (_, i) => (i % 7) * value)
    return writeModel(join(folder, name), {
      tensors: { 'm.q.weight': { dtype: 'F32', shape: [8, 8], data } },
    })
  }
  const adapter = (name: string, seed: number) => {
    writePeftAdapter(join(folder, name), { layers: { 'm.q': { rows: 8, columns: 8, rank: 4 } }, seed })
    return join(folder, name)
  }
  const out = (name: string) => join(folder, name)
  return { base: model('base', 1), tuned: model('tuned', 2), a: adapter('a', 1), b: adapter('b', 2), out }
}

test.serial('lora resize prints what was kept, and every layer when asked', async (t) => {
  const { a, out } = models(t)
  const plain = await call('lora', 'resize', a, '--rank', '2', '-o', out('r2'))
  t.is(plain.code, 0, plain.err)
  t.regex(plain.out, /1 layer, rank 4 → 2, .*\nkept [\d.]+ % of the squared norm, relative error 0\.\d+/)
  t.notRegex(plain.out, /^layer/)
  const listed = await call('lora', 'resize', a, '--energy', '90%', '--layers', '-o', out('e90'))
  t.regex(listed.out, /^layer +shape +rank +energy +error +bytes\nm\.q +8×8 +4 → /)
  const json = (await call('lora', 'resize', a, '--budget', '64params', '-o', out('b64'), '--json')).json()
  t.is(json.layers[0].rankAfter, 4)
  t.is(json.layers[0].singularValues.length, 4)
  t.is(json.format, 'peft')
  const dry = await call('lora', 'resize', a, '--energy', '0.5', '--dry-run', '-o', out('dry'))
  t.regex(dry.out, /^would write /)
  t.false(existsSync(out('dry')))
  const quiet = await call('lora', 'resize', a, '--sv-ratio', '2', '-o', out('q'), '--quiet')
  t.deepEqual([quiet.code, quiet.out], [0, ''])
})

test.serial('lora extract lists layers with their errors', async (t) => {
  const { base, tuned, out } = models(t)
  const found = await call('lora', 'extract', base, tuned, '--rank', '3', '-o', out('x'))
  t.is(found.code, 0, found.err)
  t.regex(found.out, /^layer +shape +rank +energy +error +bytes\nm\.q +8×8 +3 /)
  t.regex(found.out, /of the whole task vector/)
  const dry = await call('lora', 'extract', base, tuned, '--rank', '3', '--dry-run', '-o', out('dry'))
  t.regex(dry.out, /m\.q +linear +8×8 +3 +192 B\n\nwould write .*1 layer, at most 192 B/)
  t.false(existsSync(out('dry')))
  t.deepEqual(readdirSync(out('x')).sort(), ['adapter_config.json', 'adapter_model.safetensors'])
})

test.serial('fold, inspect, unfold and verify of adapters', async (t) => {
  const { base, a, b, out } = models(t)
  const tasks = ['--task', `a=${a}`, '--task', `b=${b}`]
  const plan = await call('fold', base, ...tasks, '--rank', '2', '-o', out('f'), '--dry-run')
  t.is(plan.code, 0, plan.err)
  t.regex(plan.out, /LoRA task +at most/)
  t.regex(plan.out, /ranks: rank 2/)
  const folded = await call('fold', base, ...tasks, '--rank', '2', '-o', out('f'))
  t.is(folded.code, 0, folded.err)
  t.regex(folded.out, /a +[\d.]+ \w+ +[\d.]+ % +rank 4 → 2, [\d.]+ % of the squared norm/)
  t.deepEqual(readdirSync(out('f')).sort(), ['family.json', 'tasks'])
  t.is((await call('inspect', out('f'))).code, 0)
  t.is((await call('verify', out('f'), '--against', `a=${a}`)).code, 0)
  t.is((await call('unfold', out('f'), '--task', 'a', '-o', out('a2'))).code, 0)
  t.true(existsSync(join(out('a2'), 'adapter_config.json')))
  t.is((await call('unfold', out('f'), '--all', '--merged', '-o', out('all'))).code, 0)
  t.true(existsSync(join(out('all'), 'b', 'model.safetensors')))
  const copied = await call('fold', base, ...tasks, '--copy-base', '-o', out('g'))
  t.is(copied.code, 0, copied.err)
  t.deepEqual(readdirSync(out('g')).sort(), ['base', 'family.json', 'tasks'])
})

test.serial('merge writes a model or an adapter', async (t) => {
  const { base, a, b, out } = models(t)
  const tasks = ['--task', `a=${a}`, '--task', `b=${b}`]
  const model = await call('merge', base, ...tasks, '--lambda', '0.5', '-o', out('m'))
  t.is(model.code, 0, model.err)
  t.regex(model.out, /λ 0\.5 × a \+ b added to 1 weight/)
  const adapter = await call('merge', base, ...tasks, '--as', 'adapter', '-o', out('s'))
  t.regex(adapter.out, /rank 8 → 8/)
})

test.serial('wrong command lines exit with 2 and say why', async (t) => {
  const { base, tuned, a, out } = models(t)
  for (const args of [
    ['lora', 'resize', a, '-o', out('n')],
    ['lora', 'resize', a, '--rank', '0', '-o', out('n')],
    ['lora', 'resize', a, '--rank', '2', '--energy', '0.5', '-o', out('n')],
    ['lora', 'resize', a, '--budget', 'much', '-o', out('n')],
    ['lora', 'resize', a, '--budget', '3params', '-o', out('n')],
    ['lora', 'extract', base, tuned, '-o', out('n')],
    ['lora', 'extract', base, tuned, '--rank', '2', '--include', '(', '-o', out('n')],
    ['lora', 'shrink'],
    ['merge', base, '-o', out('n')],
    ['merge', base, '--task', `a=${a}`, '--rank', '2', '-o', out('n')],
  ]) {
    const { code, err } = await call(...args)
    t.is(code, 2, args.join(' '))
    t.regex(err, /INVALID_ARGUMENT|error:/)
  }
  t.false(existsSync(out('n')))
  for (const args of [
    ['lora', '--help'],
    ['lora', 'resize', '--help'],
    ['lora', 'extract', '--help'],
    ['merge', '--help'],
  ]) {
    const { code, out: text } = await call(...args)
    t.is(code, 0)
    t.regex(text, /Examples:/)
  }
  const group = await call('lora')
  t.regex(group.err, /resize[\s\S]*extract/)
})
