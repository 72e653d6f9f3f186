import { formatError } from '../errors/format-error.js'
import { escapeControls } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { OnProgress } from '../io/progress.js'
import { createProgressBar } from './progress-bar.js'

/** Where a command writes, and where its caller listens. Tests give their own. */
export interface CliStreams {
  stdout: NodeJS.WritableStream
  stderr: NodeJS.WritableStream & { isTTY?: boolean }
}

/** Options of every command. */
export interface OutputOptions {
  json?: boolean
  quiet?: boolean
}

/** Prints a command's results: text for people, or one JSON document; errors and progress on stderr. */
export class Output {
  readonly #streams: CliStreams
  readonly #options: OutputOptions
  readonly #noted = new Set<string>()
  readonly #bar: ReturnType<typeof createProgressBar> | null

  /**
   * @param streams - usually those of the process
   * @param options - `json` and `quiet`
   */
  constructor(streams: CliStreams, options: OutputOptions) {
    this.#streams = streams
    this.#options = options
    const shown = streams.stderr.isTTY === true && options.quiet !== true && options.json !== true
    this.#bar = shown ? createProgressBar(streams.stderr) : null
  }

  /** Shows progress on a terminal; undefined where nobody looks. */
  get onProgress(): OnProgress | undefined {
    return this.#bar?.update
  }

  /**
   * Prints the result.
   *
   * @param data - for `--json`
   * @param text - makes the lines for people
   */
  result(data: unknown, text: () => string): void {
    this.#bar?.stop()
    if (this.#options.json) this.#streams.stdout.write(`${JSON.stringify(data, null, 2)}\n`)
    else if (!this.#options.quiet) this.#streams.stdout.write(`${text()}\n`)
  }

  /**
   * Prints one line on stderr for people who wait for the result; each text once. JSON results hold it themselves.
   *
   * @param text - one line
   */
  note(text: string): void {
    if (this.#noted.has(text) || this.#options.json || this.#options.quiet) return
    this.#noted.add(text)
    this.#bar?.stop()
    this.#streams.stderr.write(`note: ${escapeControls(text)}\n`)
  }

  /**
   * Prints an error: on stderr for people, as a JSON document on stdout with `--json`.
   *
   * @param thrown - what was caught
   */
  error(thrown: unknown): void {
    this.#bar?.stop()
    const error = thrown instanceof TaskfoldError ? thrown : toTaskfoldError(thrown)
    if (this.#options.json)
      this.#streams.stdout.write(`${JSON.stringify({ error: errorData(error) }, null, 2)}\n`)
    else this.#streams.stderr.write(`${formatError(error)}\n`)
  }

  /** Clears the progress bar. */
  end(): void {
    this.#bar?.stop()
  }
}

/**
 * An error as plain data.
 *
 * @param error - any error of taskfold
 * @returns what JSON shows of it
 */
export function errorData(error: TaskfoldError): Record<string, unknown> {
  const { code, message, file, tensor, task, index, hint, problems } = error
  return { code, message, file, tensor, task, index, hint, problems: problems?.map(errorData) }
}
