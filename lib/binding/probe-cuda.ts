import { execFile, type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import type { NativeCuda } from './binding-types.js'
import { native } from './load-binding.js'

/** A machine with many GPUs starts them in some seconds; a driver that needs longer hangs. */
const TIMEOUT_MS = 30_000
const MOST_OUTPUT = 1 << 20
const DRIVER_FAULTS: ReadonlySet<string> = new Set(['SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGILL', 'SIGFPE'])

/** How the child process ended. */
interface ChildEnd {
  stdout: string
  stderr: string
  /** Exit code; null when it was killed or did not start. */
  status: number | null
  /** Signal that ended it. */
  signal: string | null
  timedOut: boolean
  /** Why it could not be started. */
  failure?: string
}

const require = createRequire(import.meta.url)
const answers = new Map<string, NativeCuda>()

/**
 * Tells whether CUDA works here. A driver that crashes or hangs ends only a child process that is asked first; this process
 * starts nothing. The answer is kept for the process.
 *
 * @param timeoutMs - for the child
 * @returns devices with their free memory at that moment, or the reason why there are none
 * @throws TaskfoldError NATIVE_BINDING when the addon cannot be loaded
 */
export function probeCuda(timeoutMs = TIMEOUT_MS): NativeCuda {
  const known = withoutChild()
  if (known !== null) return known
  const child = spawnSync(process.execPath, [childScript()], { ...childOptions(timeoutMs), stdio: 'pipe' })
  return conclude(endOfSync(child), timeoutMs)
}

/**
 * The same without blocking the event loop.
 *
 * @param timeoutMs - for the child
 * @returns as {@link probeCuda}
 * @throws TaskfoldError NATIVE_BINDING when the addon cannot be loaded
 */
export async function probeCudaAsync(timeoutMs = TIMEOUT_MS): Promise<NativeCuda> {
  const known = withoutChild()
  if (known !== null) return known
  const end = await new Promise<ChildEnd>((resolve) => {
    const started = performance.now()
    execFile(process.execPath, [childScript()], childOptions(timeoutMs), (error, stdout, stderr) => {
      const signal = error?.signal ?? null
      const timedOut = signal === 'SIGKILL' && performance.now() - started >= timeoutMs
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : null
      const failure = status === null && signal === null ? error?.message : undefined
      resolve({ stdout, stderr, status, signal, timedOut, failure })
    })
  })
  return conclude(end, timeoutMs)
}

/** What is known without starting anything; null: a child must try. */
function withoutChild(): NativeCuda | null {
  const setting = process.env.TASKFOLD_CUDA
  if (setting !== undefined && /^(off|0|false|no)$/i.test(setting))
    return none(`turned off by TASKFOLD_CUDA=${setting}`)
  const known = answers.get(key())
  if (known !== undefined) return known
  // Without a driver the plug-in is not even opened.
  return native().cudaDriverPresent() ? null : native().probeCuda(false)
}

function key(): string {
  return process.env.TASKFOLD_CUDA_LIBRARY ?? ''
}

/** Keeps an answer, unless somebody else ended the child. */
function conclude(end: ChildEnd, timeoutMs: number): NativeCuda {
  const found = interpret(end, timeoutMs)
  if (end.timedOut || end.signal === null || DRIVER_FAULTS.has(end.signal)) answers.set(key(), found)
  return found
}

function childScript(): string {
  return require.resolve('#probe-child')
}

function childOptions(timeout: number) {
  return {
    encoding: 'utf8' as const,
    // Electron's executable is a Node only then.
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '1' },
    killSignal: 'SIGKILL' as const,
    maxBuffer: MOST_OUTPUT,
    timeout,
  }
}

function endOfSync({ stdout, stderr, status, signal, error }: SpawnSyncReturns<string>): ChildEnd {
  const timedOut = error !== undefined && (error as NodeJS.ErrnoException).code === 'ETIMEDOUT'
  return { stdout: stdout ?? '', stderr: stderr ?? '', status, signal, timedOut, failure: error?.message }
}

function interpret(end: ChildEnd, timeoutMs: number): NativeCuda {
  const { stdout, stderr, status, signal, timedOut, failure } = end
  if (timedOut) return none(`CUDA did not answer within ${timeoutMs / 1000} s`)
  if (signal !== null) {
    const cause = DRIVER_FAULTS.has(signal) ? ' (driver fault)' : ''
    return none(`a test process that started CUDA was killed by ${signal}${cause}`)
  }
  if (failure !== undefined) return none(`the test process for CUDA could not be run: ${failure}`)
  const line = /^taskfold-probe (\{.*\})$/m.exec(stdout)?.[1]
  if (status === 0 && line !== undefined) return JSON.parse(line) as NativeCuda
  const said = stderr.trim().split('\n').at(-1) ?? ''
  return none(`the test process for CUDA failed with exit code ${status}${said === '' ? '' : `: ${said}`}`)
}

function none(reason: string): NativeCuda {
  return { available: false, reason, driverVersion: 0, runtimeVersion: 0, devices: [] }
}
