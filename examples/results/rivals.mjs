/**
 * One-bit methods that people compare with, written plainly over whole tensors: how each gives a task's weights back.
 * They are here to be measured, not to be used; taskfold's own codecs are in the package.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { float32Values, readSafetensors } from '../evaluation/read-safetensors.mjs'

/** @typedef {Map<string, Float32Array>} Weights tensors of an encoder by name */

/**
 * Reads the encoder's tensors of a checkpoint.
 *
 * @param {string} file
 * @returns {Weights} without the classifier
 */
export function readEncoder(file) {
  const tensors = readSafetensors(file)
  const names = [...tensors.keys()].filter((name) => !name.startsWith('classifier.'))
  return new Map(names.map((name) => [name, float32Values(tensors.get(name), name)]))
}

/**
 * Writes a copy of a checkpoint with other encoder weights.
 *
 * @param {string} model the checkpoint whose layout is taken
 * @param {Weights} weights
 * @param {string} file where to
 */
export function writeEncoder(model, weights, file) {
  const bytes = readFileSync(model)
  for (const [name, { offset }] of readSafetensors(model)) {
    const values = weights.get(name)
    if (values !== undefined) Buffer.from(values.buffer).copy(bytes, offset)
  }
  writeFileSync(file, bytes)
}

/** Element by element: make(base, tasks' values, i, name) → value. */
function mapWeights(base, make) {
  return new Map([...base].map(([name, values]) => [name, values.map((b, i) => make(b, i, name))]))
}

function taskVectors(base, models) {
  return models.map((model) => mapWeights(base, (b, i, name) => model.get(name)[i] - b))
}

/**
 * BitDelta without its distillation (Liu et al., arXiv 2402.10193): θ0 + sign(τ)·mean|τ|, one scale a matrix. 1 bit a weight.
 *
 * @param {Weights} base θ0
 * @param {Weights} model θt
 * @returns {Weights}
 */
export function bitDelta(base, model) {
  return new Map(
    [...base].map(([name, values]) => {
      const task = model.get(name)
      const scale = values.reduce((sum, b, i) => sum + Math.abs(task[i] - b), 0) / values.length
      return [name, values.map((b, i) => b + (task[i] >= b ? scale : -scale))]
    }),
  )
}

/**
 * TALL-masks (Wang et al., arXiv 2405.07813, eq. 5): θ0 + mask·αΣτ, where the mask has the weights with |τ| > λ·|αΣτ − τ|.
 * One bit a weight, beside one sum of task vectors a family.
 *
 * @param {Weights} base θ0
 * @param {Weights[]} models all θt
 * @param {number} alpha scale of the sum of task vectors
 * @param {number} lambda selectivity; the authors choose it by validation data
 * @returns {Weights[]} one a task
 */
export function tallMasks(base, models, alpha, lambda) {
  const vectors = taskVectors(base, models)
  const sum = mapWeights(
    base,
    (_, i, name) => alpha * vectors.reduce((total, tau) => total + tau.get(name)[i], 0),
  )
  return vectors.map((tau) =>
    mapWeights(base, (b, i, name) => {
      const own = tau.get(name)[i]
      const all = sum.get(name)[i]
      return Math.abs(own) > lambda * Math.abs(all - own) ? b + all : b
    }),
  )
}

/**
 * EMR-Merging (Huang et al., arXiv 2405.17461): one unified vector of the elected signs and the largest magnitudes that agree
 * with them; a task takes it where its own sign agrees, times one scale. One bit a weight, beside the unified vector.
 *
 * @param {Weights} base θ0
 * @param {Weights[]} models all θt
 * @returns {Weights[]} one a task
 */
export function emr(base, models) {
  const vectors = taskVectors(base, models)
  const unified = mapWeights(base, (_, i, name) => {
    const own = vectors.map((tau) => tau.get(name)[i])
    const sign = Math.sign(own.reduce((total, value) => total + value, 0))
    return sign * own.reduce((most, value) => Math.max(most, value * sign), 0)
  })
  return vectors.map((tau) => {
    let own = 0
    let masked = 0
    for (const [name, values] of tau) {
      const shared = unified.get(name)
      values.forEach((value, i) => {
        own += Math.abs(value)
        if (value * shared[i] > 0) masked += Math.abs(shared[i])
      })
    }
    const scale = own / masked
    return mapWeights(base, (b, i, name) => {
      const shared = unified.get(name)[i]
      return tau.get(name)[i] * shared > 0 ? b + scale * shared : b
    })
  })
}
