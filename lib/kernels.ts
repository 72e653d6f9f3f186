/**
 * The kernels themselves, on typed arrays, for other Node tools. All work runs on the engine's threads.
 *
 * f32 is a Float32Array; f16 and bf16 are Uint16Arrays and f8 is a Uint8Array of the raw bits, with a `dtype` that says
 * which. Arrays must not be changed while a call on them runs.
 *
 * Kernels work on the caller's memory while the promise is pending: do not transfer an array's buffer to another thread
 * before it settled (resizable buffers are refused). Writing to an input meanwhile gives an unspecified result, or
 * INPUT_CHANGED, never a crash.
 *
 * @packageDocumentation
 */
export type { FloatDtype, Threshold } from './binding/binding-types.js'
export type { DeviceChoice, DeviceOptions, UsedDevice } from './binding/device-choice.js'
export { type CudaDevice, type Devices, devices } from './devices.js'
export type { ErrorCode } from './errors/error-codes.js'
export { type ErrorDetails, TaskfoldError } from './errors/taskfold-error.js'
export { type Converted, convert } from './kernels/convert.js'
export { deltaScatter } from './kernels/delta-scatter.js'
export { fingerprint } from './kernels/fingerprint.js'
export type { FloatArray, KernelOptions } from './kernels/float-array.js'
export { type MagnitudeSelectOptions, magnitudeSelect, type Selected } from './kernels/magnitude-select.js'
export { type MergeOptions, merge } from './kernels/merge.js'
export {
  type RandomizedSvd,
  type RandomizedSvdOptions,
  randomizedSvd,
  type TruncatedSvd,
} from './kernels/randomized-svd.js'
export type { DeviceKernelOptions } from './kernels/run-kernel.js'
export { setSimdTarget } from './kernels/set-simd-target.js'
export {
  type ProductSvd,
  type ProductSvdOptions,
  truncatedSvdOfProduct,
} from './kernels/truncated-svd-of-product.js'
