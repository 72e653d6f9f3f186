import type { BackgroundSync } from '../binding/background-sync.js'
import type {
  JobControl,
  NativeBinding,
  NativeRegion,
  NativeSpill,
  Threshold,
} from '../binding/binding-types.js'
import { type CallContext, callNative, type OperandSource } from '../binding/call-native.js'
import type { OpenedDevice } from '../binding/choose-device.js'
import { createProgress, type OnProgress, type ProgressCounter, type ProgressPhase } from '../io/progress.js'
import type { AdapterReport } from '../lora/adapter-report.js'
import type { PackFile } from '../pack/manifest-types.js'
import type { FileTable } from './file-table.js'
import type { FinishedSteps } from './finished-steps.js'
import type { FoldJournal } from './fold-journal.js'
import type { FoldPlan, ModelInputs } from './plan-types.js'

/** One running fold: what its phases share. */
export interface FoldRun {
  readonly plan: FoldPlan
  /** Digest of the plan. */
  readonly digest: string
  /** The partial folder. */
  readonly work: string
  readonly binding: NativeBinding
  /** Where native jobs run. Not part of the digest: the bytes are the same on each. */
  readonly device: OpenedDevice
  readonly files: FileTable
  /** Candidates that the merge sets aside for the deltas; null: the deltas read the inputs again. */
  readonly spill: NativeSpill | null
  readonly sync: BackgroundSync
  /** False: nothing is synced. */
  readonly waitForDisk: boolean
  readonly journal: FoldJournal
  /** What an earlier, killed run of the same plan finished. */
  readonly finished: FinishedSteps
  readonly signal?: AbortSignal
  readonly onProgress?: OnProgress
  /** Fingerprints of whole tensors by name, as the manifest lists them. */
  readonly mergedFingerprints: Map<string, string>
  readonly baseFingerprints: Map<string, string>
  /** LoRA tasks that are written, by name. */
  readonly adapterReports: Map<string, AdapterReport>
  /** Finished files by path inside the family, those of an earlier run included. */
  readonly completeFiles: Map<string, PackFile>
  /** Native calls of this plan, and those that an earlier run had done. */
  readonly batches: { total: number; skipped: number }
}

/** The exact thresholds of a fold: of each task, for the whole model or for each tensor. */
export type Thresholds =
  | { scope: 'global'; tasks: Threshold[] }
  | { scope: 'tensor'; byName: Map<string, Threshold[]> }

/** Progress of one phase over several native calls. */
export interface PhaseProgress {
  /** Reports bytes of the call that is running. */
  running(bytes: number): void
  /** Ends a call (or a skipped one): its bytes count as done. */
  finished(bytes: number, where?: { task?: string; tensor?: string }): void
  /** Ends the phase. */
  done(): void
}

/**
 * Starts a phase of progress events.
 *
 * @param run - the fold
 * @param phase - what is being done
 * @param bytesTotal - bytes of all its calls
 * @returns the counter of the phase
 */
export function startPhase(run: FoldRun, phase: ProgressPhase, bytesTotal: number): PhaseProgress {
  const progress: ProgressCounter = createProgress(run.onProgress, phase, bytesTotal)
  let before = 0
  return {
    running: (bytes) => progress.set(Math.min(before + bytes, bytesTotal)),
    finished(bytes, where) {
      before += bytes
      progress.set(Math.min(before, bytesTotal), where)
    },
    done: () => progress.done(),
  }
}

/**
 * Runs one native job of a fold with its signal, threads, device and names for errors.
 *
 * @param run - the fold
 * @param job - starts the job
 * @param options - progress of the phase, and the task that the job works for when it is a single one
 * @returns what the job resolves to
 * @throws TaskfoldError naming the input's file, the task and the tensor
 */
export async function runJob<T>(
  run: FoldRun,
  job: (binding: NativeBinding, control: JobControl) => Promise<T>,
  options: { phase?: PhaseProgress; task?: string } = {},
): Promise<T> {
  const { inputs, settings } = run.plan
  const context: CallContext = {
    task: options.task,
    operand: (operand, tensor) => operandSource(inputs, operand, tensor, options.task),
  }
  try {
    return await callNative((control) => job(run.binding, control), {
      signal: run.signal,
      threads: settings.threads,
      device: run.device.set,
      onProgress: run.onProgress === undefined ? undefined : options.phase?.running,
      context,
    })
  } finally {
    run.files.trim()
  }
}

/**
 * Which model an operand of a native job came from.
 *
 * @param inputs - the models
 * @param operand - 'base', the task's place in the job, or 'task' for the job's only one
 * @param tensor - the tensor at fault, where it is known
 * @param only - name of the job's only task
 * @returns file and task
 */
export function operandSource(
  inputs: ModelInputs,
  operand: string | number,
  tensor?: string,
  only?: string,
): OperandSource {
  const place = operand === 'task' ? inputs.tasks.findIndex(({ name }) => name === only) : Number(operand)
  const task = operand === 'base' ? undefined : inputs.tasks[place]
  const model = operand === 'base' ? inputs.base : task?.checkpoint
  return { file: tensor === undefined ? undefined : model?.tensors.get(tensor)?.file, task: task?.name }
}

/**
 * Fingerprints regions, large ones on all threads.
 *
 * @param run - the fold
 * @param regions - what to read
 * @param phase - progress
 * @returns 32 hex digits for each region, in order
 */
export async function fingerprints(
  run: FoldRun,
  regions: NativeRegion[],
  phase?: PhaseProgress,
): Promise<string[]> {
  if (regions.length === 0) return []
  return await runJob(run, (binding, control) => binding.fingerprintRegions({ regions }, control), { phase })
}
