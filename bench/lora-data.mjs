// Synthetic factors and weights with spectra that decay like those of real adapters; the same numbers in every run.

let seed = 1
function next() {
  seed = (Math.imul(seed, 1664525) + 1013904223) | 0
  return (seed >>> 8) / 16777216 - 0.5
}
/** Roughly normal, standard deviation 1. */
const normal = () => (next() + next() + next() + next()) * Math.sqrt(3)

/** B [rows × rank] and A [rank × columns]; component i has weight 1/√i on either side. */
export function decayingFactors(rows, columns, rank) {
  const b = Float32Array.from(
    { length: rows * rank },
    (_, i) => (0.02 * normal()) / Math.sqrt((i % rank) + 1),
  )
  const a = Float32Array.from(
    { length: rank * columns },
    (_, i) => (0.02 * normal()) / Math.sqrt(Math.floor(i / columns) + 1),
  )
  return { b, a }
}

/** Weights of a layer. */
export function randomWeights(rows, columns) {
  return Float32Array.from({ length: rows * columns }, () => 0.02 * normal())
}

/** Weights plus a change of rank 96 with a decaying spectrum, plus noise. */
export function tunedWeights(base, rows, columns) {
  const rank = 96
  const { b, a } = decayingFactors(rows, columns, rank)
  const tuned = new Float32Array(base.length)
  for (let i = 0; i < rows; i++) {
    const row = tuned.subarray(i * columns, (i + 1) * columns)
    for (let r = 0; r < rank; r++) {
      const factor = 4 * b[i * rank + r]
      const part = a.subarray(r * columns, (r + 1) * columns)
      for (let j = 0; j < columns; j++) row[j] += factor * part[j]
    }
    for (let j = 0; j < columns; j++) row[j] += base[i * columns + j] + 0.0001 * normal()
  }
  return tuned
}

/** Rounded to nearest even, as stored. */
export function bf16Bytes(values) {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  return new Uint8Array(Uint16Array.from(bits, (x) => (x + 0x7fff + ((x >>> 16) & 1)) >>> 16).buffer)
}
