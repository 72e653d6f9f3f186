import { join } from 'node:path'
import test from 'ava'
import type { FloatDtype } from '../../lib/binding/binding-types.js'
import { fold } from '../../lib/fold/fold.js'
import { openFamily } from '../../lib/materialize/open-family.js'
import { verify } from '../../lib/report/verify.js'
import { EPSILON, naiveProduct } from '../helpers/lora-models.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { treeDigest } from '../helpers/tree-digest.js'
import { decodeFloats } from '../reference/float-convert.js'
import { type LoraCase, type LoraTaskCase, loraCase } from './lora-case.js'
import { readEveryFile, readPlainCheckpoint } from './read-folder.js'

const FAMILIES = 40

/** ‖merged − base − s·B·A‖ ÷ ‖s·B·A‖ of one layer, and what rounding to the weight's dtype may add to it. */
function layerError(
  task: LoraTaskCase,
  module: string,
  found: Uint8Array,
  base: Uint8Array,
  dtype: FloatDtype,
) {
  const { kind, rank } = task.layers[module]!
  const turned = kind === 'embedding' || (kind === 'linear' && task.fanInFanOut)
  const change = naiveProduct(task.factors.get(module)!, rank, task.scale(rank), turned).values
  const [got, from] = [decodeFloats(dtype, found), decodeFloats(dtype, base)]
  let lost = 0
  let all = 0
  let rounding = 0
  for (const [i, delta] of change.entries()) {
    lost += (got[i]! - from[i]! - delta) ** 2
    all += delta ** 2
    rounding += (EPSILON[dtype] * Math.abs(from[i]! + delta)) ** 2
  }
  const norm = Math.sqrt(all)
  return { error: Math.sqrt(lost) / norm, rounding: Math.sqrt(rounding) / norm }
}

function checkLayers(
  written: LoraCase,
  task: LoraTaskCase,
  tensors: ReadonlyMap<string, { data: Uint8Array }>,
  expected: ReadonlyMap<string, number>,
): string[] {
  const problems: string[] = []
  const changed = new Set<string>()
  for (const module of Object.keys(task.layers)) {
    const name = written.baseName(`${module}.weight`)
    changed.add(name)
    const base = written.tensors[name]!.data as Uint8Array
    const { error, rounding } = layerError(task, module, tensors.get(name)!.data, base, written.dtype)
    // Factors are rounded to their dtype too: at most BF16's, twice.
    const wanted = expected.get(module)!
    const slack = rounding + (wanted === -1 ? 1e-5 : 3 * EPSILON.BF16)
    if (!(Math.abs(error - Math.max(0, wanted)) <= slack))
      problems.push(`${task.name} ${module}: error ${error}, expected ${wanted} ± ${slack}`)
  }
  for (const [name, tensor] of Object.entries({ ...written.tensors, ...task.whole })) {
    if (changed.has(name) || tensor.dtype === 'I64') continue
    if (Buffer.compare(tensors.get(name)!.data, tensor.data as Uint8Array) !== 0)
      problems.push(`${task.name}: ${name} was changed`)
  }
  return problems
}

for (let seed = 1; seed <= FAMILIES; seed++) {
  test.serial(`as the products in f64, family of seed ${seed}`, async (t) => {
    const folder = tempFolder(t)
    const written = loraCase(join(folder, 'inputs'), seed)
    const before = treeDigest(join(folder, 'inputs'))
    const output = join(folder, 'family')
    const tasks = [...written.lora, ...written.full].map(({ name, path }) => ({ name, path }))
    await fold({ base: written.base, tasks, output, density: 1, sync: false, ...written.options })
    const against = Object.fromEntries(tasks.map(({ name, path }) => [name, path]))
    const report = await verify(output, { against })
    const family = await openFamily(output)
    t.is(family.manifest.merged === undefined, written.full.length === 0, written.label)
    const problems: string[] = []
    for (const task of written.lora) {
      const { layers } = report.tasks.find(({ name }) => name === task.name)!.against!
      const entry = family.manifest.tasks.find(({ name }) => name === task.name)!
      const verbatim = written.options.rank === undefined && written.options.energy === undefined
      const expected = new Map(
        entry.codec === 'lora'
          ? entry.layers.map((layer) => [layer.module, verbatim ? -1 : layer.relativeError])
          : [],
      )
      for (const { module, relativeError } of layers!) {
        const wanted = Math.max(0, expected.get(module)!)
        if (!(Math.abs(relativeError! - wanted) <= 3 * EPSILON.BF16))
          problems.push(`${task.name} ${module}: verify says ${relativeError}, family.json ${wanted}`)
      }
      const { folder: out } = await family.materialize(task.name, join(folder, task.name), {
        merged: true,
        sync: false,
        threads: written.options.threads,
      })
      const unfolded = readPlainCheckpoint(out).tensors
      problems.push(...checkLayers(written, task, unfolded, expected))
      for await (const { name, data } of family.tensors(task.name)) {
        if (Buffer.compare(data, unfolded.get(name)!.data) !== 0)
          problems.push(`${task.name}: ${name} in memory differs from the file`)
      }
      const peft = await family.materialize(task.name, join(folder, `${task.name}-peft`), { sync: false })
      if (verbatim) t.deepEqual(treeDigest(peft.folder), treeDigest(task.path))
      t.deepEqual(treeDigest(peft.folder), treeDigest(join(output, 'tasks', task.name)))
    }
    for (const { name, tensors } of written.full) {
      const { folder: out } = await family.materialize(name, join(folder, name), { sync: false })
      for (const [tensor, { data }] of readPlainCheckpoint(out).tensors) {
        const wanted = tensors[tensor]!
        if (wanted.dtype !== 'I64' && Buffer.compare(data, wanted.data as Uint8Array) !== 0)
          problems.push(`${name}: ${tensor} is not the original's`)
      }
    }
    t.deepEqual(problems, [], written.label)
    t.deepEqual(treeDigest(join(folder, 'inputs')), before)
    t.true(readEveryFile(output).size > 0)
  })
}
