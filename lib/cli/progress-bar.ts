import { performance } from 'node:perf_hooks'
import { Presets, SingleBar } from 'cli-progress'
import type { OnProgress } from '../io/progress.js'
import { formatBytes } from '../report/format-bytes.js'

/** Weight of the newest speed in the average: about the last second counts. */
const SMOOTHING = 0.1

/**
 * A progress bar: phase, percent, bytes/s and what is left.
 *
 * @param stream - a terminal
 * @returns `update` to be called with every event, and `stop`
 */
export function createProgressBar(stream: NodeJS.WritableStream): { update: OnProgress; stop(): void } {
  const bar = new SingleBar(
    {
      stream,
      format: '{phase} {bar} {percentage}%  {speed}  {left} {where}',
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
      stopOnComplete: false,
      gracefulExit: false,
      emptyOnZero: true,
      linewrap: false,
      fps: 10,
      barGlue: '',
    },
    Presets.shades_classic,
  )
  let phase = ''
  let speed = 0
  let last = { bytes: 0, time: 0 }
  return {
    update({ phase: next, bytesDone, bytesTotal, task }) {
      const time = performance.now()
      const shown = { phase: next.padEnd(12), speed: '', left: '', where: task ?? '' }
      if (next !== phase) {
        phase = next
        speed = 0
        last = { bytes: bytesDone, time }
        bar.start(Math.max(1, Math.ceil(bytesTotal)), bytesDone, shown)
        return
      }
      const seconds = (time - last.time) / 1000
      if (seconds > 0) {
        const now = Math.max(0, bytesDone - last.bytes) / seconds
        speed = speed === 0 ? now : speed + SMOOTHING * (now - speed)
        last = { bytes: bytesDone, time }
      }
      if (next !== 'read headers' && speed > 0) {
        shown.speed = `${formatBytes(speed)}/s`
        shown.left = `${seconds60((bytesTotal - bytesDone) / speed)} left`
      }
      bar.update(bytesDone, shown)
    },
    stop: () => bar.stop(),
  }
}

function seconds60(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds))
  if (whole < 60) return `${whole} s`
  return `${Math.floor(whole / 60)} min ${whole % 60} s`
}
