import type {
  CodedResult,
  CodedTensor,
  FloatDtype,
  JobControl,
  NativeCodedTask,
  NativeRegion,
} from '../../lib/binding/binding-types.js'
import type { Random } from '../helpers/random.js'
import { decodeFloats, encodeFloats, FLOAT_DTYPES } from '../reference/float-convert.js'
import { native } from './addon.js'
import type { RegionMaker } from './regions.js'

/** θ* and θt of one tensor. */
export interface StepTensor {
  shape: CodedTensor
  /** θ* in the storage dtype. */
  merged: Uint8Array
  /** θt in `taskDtype`. */
  task: Uint8Array
  taskDtype: FloatDtype
}

/** Settings of an encoder. */
export interface StepSettings {
  step: number
  deadZone: number
  /** Tensors for each job; default: all. */
  batch?: () => number
  control?: JobControl
}

/** Largest finite values, or less. */
const LARGEST: Record<FloatDtype, number> = {
  F32: 1e30,
  F16: 65504,
  BF16: 1e30,
  F8_E4M3: 448,
  F8_E5M2: 57344,
}

/** The arrays of a stream. */
export interface StepArrays {
  tables: Uint8Array
  directory: Uint8Array
  codes: Uint8Array
}

/**
 * A tensor whose remainder is `spread` steps wide.
 *
 * @param random - source
 * @param elements - at least 1
 * @param step - Δ
 * @param spread - deviation of u in steps; 0: u = 0 everywhere
 */
export function stepTensor(random: Random, elements: number, step: number, spread: number): StepTensor {
  const dtype = random.pick(FLOAT_DTYPES)
  const taskDtype = random.chance(0.2) ? 'F32' : dtype
  const merged = encodeFloats(
    dtype,
    Float32Array.from({ length: elements }, () => random.normal()),
  )
  const star = decodeFloats(dtype, merged)
  const most = LARGEST[dtype]
  // A few far values beside the many near ones.
  const task = encodeFloats(
    taskDtype,
    star.map((x) => {
      const value = x + random.normal() * step * spread * (random.chance(0.01) ? 40 : 1)
      return Math.max(-most, Math.min(most, value))
    }),
  )
  const rows = elements % 3 === 0 ? 3 : 1
  return {
    shape: { name: `w${random.u32()}`, dtype, rows, columns: elements / rows },
    merged,
    task,
    taskDtype,
  }
}

/** Elements of a tensor. */
export function elementsOf({ shape }: StepTensor): number {
  return shape.rows * shape.columns
}

/**
 * Both passes of an encoder.
 *
 * @param regions - makes operands and the output file
 * @returns its result and the three arrays
 */
export async function runStepEncoder(
  regions: RegionMaker,
  tensors: StepTensor[],
  { step, deadZone, batch = () => tensors.length, control = {} }: StepSettings,
): Promise<{ result: CodedResult; arrays: StepArrays }> {
  const out = regions.file()
  const offset = 24
  const encoder = new native.StepEncoder({
    step,
    deadZone,
    tensors: tensors.map(({ shape }) => shape),
    out: out.file,
    offset,
  })
  const jobs = tensors.map(({ shape, merged, task, taskDtype }) => ({
    ...shape,
    merged: regions.input(merged),
    task: { region: regions.input(task), dtype: taskDtype },
  }))
  for (const pass of [native.countStep, native.encodeStep]) {
    for (let at = 0; at < jobs.length; ) {
      const count = Math.max(1, batch())
      await pass({ encoder, tensors: jobs.slice(at, at + count) }, control)
      at += count
    }
    if (pass === native.countStep) encoder.prepare()
  }
  const result = await encoder.finish()
  const codes = new Uint8Array(out.read().subarray(offset))
  return {
    result,
    arrays: {
      tables: new Uint8Array(result.tables),
      directory: new Uint8Array(result.directory),
      codes,
    },
  }
}

/**
 * Opens a stream.
 *
 * @param regions - makes the arrays' regions
 * @param shapes - the coded tensors
 */
export function openStep(
  regions: RegionMaker,
  shapes: CodedTensor[],
  step: number,
  arrays: StepArrays,
): Promise<NativeCodedTask> {
  return native.openCodedTask(
    {
      codec: 'step',
      step,
      tensors: shapes,
      tables: regions.input(arrays.tables),
      directory: regions.input(arrays.directory),
      codes: regions.input(arrays.codes, 'file'),
    },
    {},
  )
}

/**
 * Every tensor of an open stream, decoded over θ*.
 *
 * @param order - places in the order in which they are asked for
 */
export async function scatterStep(
  regions: RegionMaker,
  coded: NativeCodedTask,
  tensors: StepTensor[],
  order: number[],
  control: JobControl,
): Promise<Uint8Array[]> {
  const outs = tensors.map(({ merged }) => regions.output(merged.length))
  const jobs = order.map((tensor) => {
    const { shape, merged } = tensors[tensor]!
    const region: NativeRegion = regions.input(merged)
    return {
      name: shape.name,
      elements: elementsOf(tensors[tensor]!),
      dtype: shape.dtype,
      merged: region,
      delta: { coded, tensor },
      out: outs[tensor]!.region,
    }
  })
  await native.scatterTensors({ tensors: jobs }, control)
  return outs.map((out) => out.read())
}
