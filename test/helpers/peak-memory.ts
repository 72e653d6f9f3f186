import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * Anonymous memory of a process now, bytes; 0 when it has ended. The page cache does not count. Where there is no /proc, all
 * resident memory is taken instead, which is more: taskfold maps no file of a model.
 */
function memoryOf(pid: number): number {
  try {
    if (process.platform === 'linux') {
      const found = /RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
      return Number(found?.[1] ?? 0) * 1024
    }
    return Number(spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' }).stdout) * 1024
  } catch {
    return 0
  }
}

/**
 * Runs a Node script in a process of its own and looks at its memory every 2 ms.
 *
 * @param args - of node
 * @returns its peak in bytes
 * @throws Error when it does not exit with 0
 */
export async function peakMemory(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let text = ''
  child.stderr.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  let peak = 0
  const timer = setInterval(() => {
    if (child.pid !== undefined) peak = Math.max(peak, memoryOf(child.pid))
  }, 2)
  const code = await new Promise((resolve) => child.on('close', resolve))
  clearInterval(timer)
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${text}`)
  if (peak === 0) throw new Error('the memory of the process was never seen')
  return peak
}
