import { Command } from 'commander'
import { type Devices, devices } from '../devices.js'
import { alignColumns } from '../report/align-columns.js'
import { formatBytes } from '../report/format-bytes.js'
import type { CliContext } from './cli-context.js'
import type { OutputOptions } from './output.js'

/**
 * The command `taskfold devices`.
 *
 * @param context - where it prints
 * @returns the command, for the program
 */
export function devicesCommand(context: CliContext): Command {
  return new Command('devices')
    .description('show what this machine computes with, and why it cannot use a GPU')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')
    .action((flags: OutputOptions) =>
      context.run(flags, async (output) => {
        const found = devices()
        output.result(found, () => devicesText(found))
        return 0
      }),
    )
}

/**
 * Devices as people read them.
 *
 * @param found - what the machine has
 * @returns one or more lines
 */
export function devicesText({ cpu, cuda }: Devices): string {
  const lines = [`cpu   ${cpu.simd} (of ${cpu.simdAvailable.join(', ')}), ${cpu.threads} threads`]
  if (!cuda.available) {
    lines.push(`cuda  none: ${cuda.reason}`)
    if (cuda.hint !== null) lines.push(`      ${cuda.hint}`)
  }
  const versions = [
    ...(cuda.driverVersion === null ? [] : [`the driver knows CUDA up to ${cuda.driverVersion}`]),
    ...(cuda.runtimeVersion === null ? [] : [`taskfold is built with CUDA ${cuda.runtimeVersion}`]),
  ]
  const rows = cuda.devices.map((device) => [
    device.id,
    device.name,
    `${formatBytes(device.freeBytes)} of ${formatBytes(device.memoryBytes)} free`,
    `compute capability ${device.computeCapability}`,
    device.busId,
  ])
  if (rows.length > 0) lines.push(...alignColumns(rows, [1, 3, 4]))
  if (versions.length > 0) lines.push(`${rows.length > 0 ? 'cuda ' : '     '} ${versions.join(', ')}`)
  return lines.join('\n')
}
