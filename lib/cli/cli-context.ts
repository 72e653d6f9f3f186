import { TaskfoldError } from '../errors/taskfold-error.js'
import { type CliStreams, Output, type OutputOptions } from './output.js'

/** What commands share: where they print, how they are stopped, what they exit with. */
export class CliContext {
  /** Exit code of the command that ran. */
  exitCode = 0
  readonly #streams: CliStreams
  readonly #signal: AbortSignal

  /**
   * @param streams - usually those of the process
   * @param signal - stops the command
   */
  constructor(streams: CliStreams, signal: AbortSignal) {
    this.#streams = streams
    this.#signal = signal
  }

  /**
   * Runs a command: prints its errors and sets the exit code.
   *
   * @param options - `json` and `quiet`
   * @param command - does the work, answers the exit code
   */
  async run(
    options: OutputOptions,
    command: (output: Output, signal: AbortSignal) => Promise<number>,
  ): Promise<void> {
    const output = new Output(this.#streams, options)
    try {
      this.exitCode = await command(output, this.#signal)
    } catch (error) {
      output.error(error)
      this.exitCode = exitCodeOf(error)
    } finally {
      output.end()
    }
  }
}

/** 2: the command line was wrong; 1: what it asked for failed. */
function exitCodeOf(error: unknown): number {
  if (!(error instanceof TaskfoldError)) return 1
  if (error.code === 'INVALID_ARGUMENT') return 2
  const problems = error.problems ?? []
  return problems.length > 0 && problems.every((problem) => problem.code === 'INVALID_ARGUMENT') ? 2 : 1
}
