import type { ErrorCode } from '../errors/error-codes.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { JobControl, NativeDeviceSet } from './binding-types.js'
import { native } from './load-binding.js'

/** Where an operand of a native job came from. */
export interface OperandSource {
  /** Path of its file. */
  file?: string
  /** Name of its task. */
  task?: string
}

/** Turns what native code knows (a tensor, the number of an operand) into what the user knows (a file, a task). */
export interface CallContext {
  /** File at fault when native code names none. */
  file?: string
  /** Task the whole job works for. */
  task?: string
  /** Source of an operand: 'base' or the task's place in the job, of the tensor at fault. */
  operand?: (operand: string | number, tensor?: string) => OperandSource
}

/** Options of {@link callNative}. */
export interface CallOptions {
  /** Stops the job within milliseconds; the call then rejects with CANCELLED. */
  signal?: AbortSignal
  /** Bytes read so far by this job, at most 20 times a second. */
  onProgress?: (bytes: number) => void
  /** Threads at most; the machine's by default. */
  threads?: number
  /** GPUs to work on; absent: the CPU. */
  device?: NativeDeviceSet
  /** Names for error messages. */
  context?: CallContext
}

/** What native errors carry beside a message. */
interface NativeFault {
  code?: unknown
  message?: unknown
  file?: unknown
  tensor?: unknown
  index?: unknown
  operand?: unknown
  hint?: unknown
}

/** Codes that native code may raise; others mean a fault of Node or of the addon itself. */
const NATIVE_CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'CANCELLED',
  'NON_FINITE',
  'INPUT_CHANGED',
  'PACK_INVALID',
  'SIZE_OVERFLOW',
  'HASH_MISMATCH',
  'DISK_FULL',
  'IO_ERROR',
  'FILE_TRUNCATED',
  'OUT_OF_MEMORY',
  'DEVICE_UNAVAILABLE',
  'INTERNAL',
])

/**
 * Runs one native job: gives it a control object, links the AbortSignal to it, and maps its errors.
 *
 * @param run - starts the job with the control object
 * @param options - signal, progress, threads, GPUs and names for error messages
 * @returns what the job resolves to
 * @throws TaskfoldError CANCELLED when the signal fired; otherwise the job's own code, with file, task and tensor
 */
export async function callNative<T>(
  run: (control: JobControl) => Promise<T>,
  options: CallOptions = {},
): Promise<T> {
  const { signal, onProgress, threads, device, context } = options
  throwIfAborted(signal)
  const control: JobControl = {}
  if (onProgress !== undefined) control.onProgress = onProgress
  if (threads !== undefined) control.threads = threads
  if (device !== undefined) control.device = device
  let stop: (() => void) | undefined
  if (signal !== undefined) {
    const token = new (native().CancelToken)()
    control.cancel = token
    stop = () => token.cancel()
    signal.addEventListener('abort', stop, { once: true })
  }
  try {
    return await run(control)
  } catch (error) {
    throwIfAborted(signal)
    throw mapNativeError(error, context)
  } finally {
    if (stop !== undefined) signal?.removeEventListener('abort', stop)
  }
}

/**
 * Maps a rejection of the addon to a TaskfoldError that names the user's file and task.
 *
 * @param error - what the addon rejected with
 * @param context - names for the operands
 * @returns an error with a stable code
 */
export function mapNativeError(error: unknown, context: CallContext = {}): TaskfoldError {
  if (error instanceof TaskfoldError) return error
  const fault = (typeof error === 'object' && error !== null ? error : {}) as NativeFault
  if (typeof fault.code !== 'string' || !NATIVE_CODES.has(fault.code)) {
    return toTaskfoldError(error, { file: context.file, task: context.task })
  }
  const tensor = typeof fault.tensor === 'string' && fault.tensor !== '' ? fault.tensor : undefined
  const index = typeof fault.index === 'number' && fault.index >= 0 ? fault.index : undefined
  const operand =
    typeof fault.operand === 'number' || (typeof fault.operand === 'string' && fault.operand !== '')
      ? fault.operand
      : undefined
  const source = operand === undefined ? {} : (context.operand?.(operand, tensor) ?? {})
  const file =
    source.file ?? (typeof fault.file === 'string' && fault.file !== '' ? fault.file : context.file)
  const message = typeof fault.message === 'string' ? fault.message : String(error)
  return new TaskfoldError(fault.code as ErrorCode, nameFile(message, file), {
    file,
    tensor,
    index,
    task: source.task ?? context.task,
    hint: typeof fault.hint === 'string' && fault.hint !== '' ? fault.hint : undefined,
    cause: error,
  })
}

/** The one line that people read must name the file; programs have it in `file`. */
function nameFile(message: string, file: string | undefined): string {
  const line = message.replaceAll(/\s*\n\s*/g, ' ')
  return file === undefined || line.includes(file) ? line : `${file}: ${line}`
}
