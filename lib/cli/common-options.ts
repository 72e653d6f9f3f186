import { type Command, Option } from 'commander'
import type { DeviceChoice, DeviceOptions } from '../binding/device-choice.js'
import type { Output } from './output.js'
import { parseSize, parseThreads } from './parse-values.js'

/**
 * Adds the options of commands that write an adapter or a merged model.
 *
 * @param command - the command
 * @param what - what is written, for the help text
 * @returns it
 */
export function addOutputOptions(command: Command, what: string): Command {
  return command
    .option('--threads <number>', "threads at most (default: the machine's)", parseThreads)
    .option('--cache-dir <folder>', 'Hugging Face cache to look up org/name in')
    .option('--force', `replace an existing ${what}`)
    .option('--json', 'print one JSON document, singular values included')
    .option('--quiet', 'print nothing but errors')
}

/** Flags of {@link addDeviceOptions}. */
export interface DeviceFlags {
  device?: DeviceChoice
  gpuMemory?: number
}

/**
 * Adds the options that choose where to compute.
 *
 * @param command - the command
 * @returns it
 */
export function addDeviceOptions(command: Command): Command {
  return command
    .option(
      '--device <device>',
      'cpu, auto (GPUs if they work), cuda, cuda:0, cuda:0,cuda:1; GPUs are experimental: no kernel has run on one yet',
      'cpu',
    )
    .option(
      '--gpu-memory <size>',
      'most memory to use of each GPU, such as 8G (default: what is free)',
      parseSize,
    )
}

/**
 * The device options of a call.
 *
 * @param output - where a note is printed, such as why `auto` fell back to the CPU
 * @param flags - as parsed
 * @returns options for the call
 */
export function deviceOptions(output: Output, { device, gpuMemory }: DeviceFlags): DeviceOptions {
  return {
    ...{ device, gpuMemory },
    onDevice({ deviceNote }) {
      if (deviceNote !== null) output.note(deviceNote)
    },
  }
}

/**
 * The option that chooses the dtype of an adapter's factors.
 *
 * @param keep - what `keep` means
 * @returns the option
 */
export function dtypeOption(keep: string): Option {
  return new Option('--dtype <dtype>', `dtype of the factors; keep: ${keep}`)
    .choices(['keep', 'f32', 'f16', 'bf16'])
    .default('keep')
}
