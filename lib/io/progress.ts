import { performance } from 'node:perf_hooks'

/** What a long call is doing now. */
export type ProgressPhase =
  | 'read headers'
  | 'count'
  | 'sample'
  | 'merge'
  | 'select'
  | 'write deltas'
  | 'copy'
  | 'fingerprint'
  | 'decompose'
  | 'verify'
  | 'materialize'
  | 'load'

/** One progress event of a long call. */
export interface Progress {
  /** What is being done. */
  phase: ProgressPhase
  /** Bytes done in this phase. */
  bytesDone: number
  /** Bytes of the whole phase. */
  bytesTotal: number
  /** Task being worked on, if it is one. */
  task?: string
  /** Tensor being worked on, if it is one. */
  tensor?: string
}

/** Receives progress events, at most 20 a second and one at the end of every phase. */
export type OnProgress = (progress: Progress) => void

/** Which task and tensor the bytes belong to. */
export interface ProgressPlace {
  /** Task being worked on. */
  task?: string
  /** Tensor being worked on. */
  tensor?: string
}

/** Counts the bytes of one phase. */
export interface ProgressCounter {
  /** Adds bytes; reports when the last event is long enough ago. */
  add(bytes: number, place?: ProgressPlace): void
  /** Sets the bytes done; reports when the last event is long enough ago. */
  set(bytesDone: number, place?: ProgressPlace): void
  /** Reports the phase as complete. Later calls do nothing. */
  done(): void
}

/** 20 events a second: smooth for an eye, and no load for a listener. */
const EVENT_INTERVAL_MS = 50

/**
 * Counts the bytes of a phase and tells a listener about them at most 20 times a second.
 *
 * @param onProgress - the listener, if there is one
 * @param phase - what is being done
 * @param bytesTotal - bytes of the whole phase
 * @param now - clock in milliseconds
 * @returns the counter
 */
export function createProgress(
  onProgress: OnProgress | null | undefined,
  phase: ProgressPhase,
  bytesTotal: number,
  now: () => number = () => performance.now(),
): ProgressCounter {
  let bytesDone = 0
  let place: ProgressPlace = {}
  let lastEvent = Number.NEGATIVE_INFINITY
  let finished = false

  const report = (always: boolean) => {
    if (!onProgress || finished) return
    const time = now()
    if (!always && time - lastEvent < EVENT_INTERVAL_MS) return
    lastEvent = time
    onProgress({ phase, bytesDone, bytesTotal, ...place })
  }

  return {
    add(bytes, where) {
      bytesDone += bytes
      if (where) place = where
      report(false)
    },
    set(bytes, where) {
      bytesDone = bytes
      if (where) place = where
      report(false)
    },
    done() {
      bytesDone = bytesTotal
      report(true)
      finished = true
    },
  }
}
