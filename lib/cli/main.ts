import { run } from './run.js'

export { run }

/** Exit codes of signals are 128 + their number. */
const SIGNAL_CODES = 128

/**
 * Runs the command line of this process and sets its exit code.
 *
 * @param args - what follows the program's name
 */
export async function main(args: readonly string[]): Promise<void> {
  // A reader that goes away (`| head`) is no fault of the command.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0)
      throw error
    })
  }
  process.exitCode = await run(args)
  // A cancelled fsync cannot be stopped and would keep the process alive.
  if (process.exitCode >= SIGNAL_CODES) process.exit()
}
