import { Command } from 'commander'
import { devices } from '../devices.js'
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
    .description('show what this machine computes with')
    .option('--json', 'print one JSON document')
    .option('--quiet', 'print nothing but errors')
    .action((flags: OutputOptions) =>
      context.run(flags, async (output) => {
        const found = devices()
        output.result(found, () => {
          const { cpu, cuda } = found
          const list = cuda.devices.map((device) => `cuda  ${device.name}`)
          return [
            `cpu   ${cpu.simd} (of ${cpu.simdAvailable.join(', ')}), ${cpu.threads} threads`,
            ...(list.length > 0 ? list : [`cuda  none: ${cuda.reason}`]),
          ].join('\n')
        })
        return 0
      }),
    )
}
