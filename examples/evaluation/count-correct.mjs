import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { float32Values, readSafetensors } from './read-safetensors.mjs'

/**
 * Counts a model's right answers on a task's test pictures: encoder by ONNX Runtime, classifier head here.
 *
 * @param {object} options
 * @param {string} options.family the folder with base/ and eval/
 * @param {string} options.task whose test pictures to use
 * @param {string} options.encoder safetensors file that holds the encoder's tensors
 * @param {string} options.head safetensors file that holds classifier.weight and classifier.bias
 * @returns {Promise<{ correct: number, pictures: number }>}
 */
export async function countCorrect({ family, task, encoder, head }) {
  const pictures = readSafetensors(path.join(family, 'eval', `${task}.safetensors`))
  const images = pictures.get('images')
  const labels = pictures.get('labels').bytes
  const features = await encode(family, encoder, Float32Array.from(images.bytes), images.shape)
  const headTensors = readSafetensors(head)
  const weight = float32Values(headTensors.get('classifier.weight'), 'classifier.weight')
  const bias = float32Values(headTensors.get('classifier.bias'), 'classifier.bias')
  const answers = classify(features, labels.length, weight, bias)
  return { correct: answers.filter((answer, i) => answer === labels[i]).length, pictures: labels.length }
}

/** Runs encoder.onnx with the tensors of a checkpoint as its weights, given in memory. */
async function encode(family, checkpoint, pixels, [count, height, width]) {
  const session = await InferenceSession.create(path.join(family, 'base', 'encoder.onnx'), {
    externalData: [{ path: 'model.safetensors', data: layOutLikeBase(family, checkpoint) }],
    graphOptimizationLevel: 'all',
    intraOpNumThreads: 1,
  })
  const { features } = await session.run({ pixels: new Tensor('float32', pixels, [count, 1, height, width]) })
  await session.release()
  return features.data
}

/** The graph finds its weights at the byte ranges of the base's file, so every tensor is put where the base has it. */
function layOutLikeBase(family, checkpoint) {
  const baseFile = path.join(family, 'base', 'model.safetensors')
  const bytes = new Uint8Array(statSync(baseFile).size)
  const own = readSafetensors(checkpoint)
  for (const [name, place] of readSafetensors(baseFile)) {
    const tensor = own.get(name)
    if (tensor?.dtype !== place.dtype || tensor.bytes.length !== place.bytes.length) {
      throw new Error(`${checkpoint}: ${name} is missing or has another dtype or size than in the base`)
    }
    bytes.set(tensor.bytes, place.offset)
  }
  return bytes
}

/** argmax of features · weightᵀ + bias, one answer a picture. */
export function classify(features, count, weight, bias) {
  const width = features.length / count
  const answers = new Array(count)
  for (let i = 0; i < count; i++) {
    let best = Number.NEGATIVE_INFINITY
    for (let label = 0; label < bias.length; label++) {
      let logit = bias[label]
      for (let j = 0; j < width; j++) logit += features[i * width + j] * weight[label * width + j]
      if (logit > best) {
        best = logit
        answers[i] = label
      }
    }
  }
  return answers
}

/**
 * The example family's tasks and its reference counts.
 *
 * @param {string} family the folder with family.json and reference.json
 * @returns {{ tasks: string[], reference: Record<string, { correct: Record<string, number> }> }}
 */
export function readFamily(family) {
  const { tasks } = JSON.parse(readFileSync(path.join(family, 'family.json'), 'utf8'))
  const { method } = JSON.parse(readFileSync(path.join(family, 'reference.json'), 'utf8'))
  return { tasks, reference: method }
}
