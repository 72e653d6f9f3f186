// Runs the kernels on typed arrays on the device of the first argument and prints what they give, as JSON.
import {
  convert,
  type DeviceChoice,
  fingerprint,
  magnitudeSelect,
  merge,
  randomizedSvd,
  truncatedSvdOfProduct,
} from '../../lib/kernels.js'
import { seededRandom } from './random.js'

const device = process.argv[2] as DeviceChoice
const random = seededRandom(3)
const values = (count: number) => Float32Array.from({ length: count }, () => random.below(4001) / 1000 - 2)
const used = new Set<string>()
const options = { device, onDevice: (on: { device: string }) => void used.add(on.device) }

const [base, one, two] = [values(200_003), values(200_003), values(200_003)]
const merged = await merge({ base, tasks: [one, two], ...options })
const { values: half, inexact } = await convert(one, 'F32', 'BF16', options)
const selected = await magnitudeSelect(one, { k: 20_000, minus: merged, ...options })
const svd = await randomizedSvd(base.subarray(0, 200 * 300), { rows: 200, columns: 300, rank: 5, ...options })
const shape = { rows: 100, columns: 300, rank: 8 }
const product = await truncatedSvdOfProduct(one.subarray(0, 800), two.subarray(0, 2400), 4, {
  ...shape,
  ...options,
})

const digest = (array: ArrayBufferView) =>
  fingerprint(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), options)
console.log(
  JSON.stringify({
    device: [...used],
    equal: {
      merged: await digest(merged),
      half: await digest(half),
      inexact,
      positions: await digest(selected.positions),
      values: await digest(selected.values),
      threshold: selected.threshold,
    },
    close: [...svd.s, svd.squaredNorm, svd.relativeError, ...product.singularValues, product.relativeError],
  }),
)
