// One set of weights in memory, shared with ONNX Runtime, becomes one task's and then another's: node examples/swap-cpu.mjs
// Folds the example family to a temporary folder first. Needs the build (npm run build).
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { fold, openFamily } from 'taskfold'
import { classify } from './evaluation/count-correct.mjs'
import { readSafetensors } from './evaluation/read-safetensors.mjs'
import { weightsAsInputs } from './evaluation/weights-as-inputs.mjs'

const source = path.join(import.meta.dirname, 'family')
const names = ['mnist', 'fashion']
const work = mkdtempSync(path.join(os.tmpdir(), 'taskfold-swap-'))

/** The encoder's weights as ONNX Runtime takes them: the same memory, because it refuses SharedArrayBuffers. */
function weights(model, inputs) {
  return Object.fromEntries(
    inputs.map((name) => [name, new Tensor('float32', model.unshared(name), model.tensors.get(name).shape)]),
  )
}

async function accuracy(session, model, feeds) {
  const pictures = readSafetensors(path.join(source, 'eval', `${model.task}.safetensors`))
  const { bytes, shape } = pictures.get('images')
  const labels = pictures.get('labels').bytes
  const pixels = new Tensor('float32', Float32Array.from(bytes), [shape[0], 1, shape[1], shape[2]])
  const { features } = await session.run({ ...feeds, pixels })
  const head = (name) => model.tensors.get(`classifier.${name}`).data
  const answers = classify(features.data, labels.length, head('weight'), head('bias'))
  const correct = answers.filter((answer, i) => answer === labels[i]).length
  return `${((100 * correct) / labels.length).toFixed(1)} % of ${labels.length} pictures`
}

try {
  const tasks = names.map((name) => ({ name, path: path.join(source, 'tasks', name) }))
  const output = path.join(work, 'family')
  await fold({ base: path.join(source, 'base'), tasks, output, lambda: 0.3, density: 0.1 })
  const family = await openFamily(output)
  const model = await family.load(names[0], { preload: true })
  const graph = weightsAsInputs(readFileSync(path.join(source, 'base', 'encoder.onnx')))
  const session = await InferenceSession.create(graph.model, { intraOpNumThreads: 1 })
  // Made once: switches show in them.
  const feeds = weights(model, graph.names)
  for (const name of [...names, names[0]]) {
    const start = performance.now()
    await model.switchTo(name)
    const ms = (performance.now() - start).toFixed(2)
    console.log(`${name}: ${await accuracy(session, model, feeds)}, switched in ${ms} ms`)
  }
  await session.release()
  await model.close()
} finally {
  rmSync(work, { recursive: true, force: true })
}
