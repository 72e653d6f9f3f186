/** Exit codes of a shell for these signals: 128 + their number. */
const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** The first signal asks a command to stop, the second ends the process at once. */
export interface SignalWatch {
  readonly signal: AbortSignal
  /** Exit code that fits the signal that came; null when none did. */
  exitCode(): number | null
  /** Stops listening. */
  close(): void
}

/**
 * Listens for Ctrl-C and friends.
 *
 * @returns the watch
 */
export function watchSignals(): SignalWatch {
  const controller = new AbortController()
  let code: number | null = null
  const listeners = Object.entries(EXIT_CODES).map(([name, exitCode]) => {
    const listener = () => {
      if (code !== null) process.exit(code)
      code = exitCode
      controller.abort(new Error(name))
    }
    process.on(name, listener)
    return [name, listener] as const
  })
  return {
    signal: controller.signal,
    exitCode: () => code,
    close() {
      for (const [name, listener] of listeners) process.off(name, listener)
    },
  }
}
