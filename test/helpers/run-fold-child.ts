import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { FoldOptions } from '../../lib/fold/fold-options.js'

/** Path of the program. */
export const FOLD_CHILD = fileURLToPath(new URL('fold-child.ts', import.meta.url))

/** How a fold in a process of its own ended. */
export interface Outcome {
  killed: boolean
  resumed: { batchesSkipped: number; batchesTotal: number } | null
}

/**
 * Folds in a process that kills itself.
 *
 * @param options - as for fold
 * @param killAt - the journal record before (negative) or after which it does; '' never
 */
export function runFoldChild(options: FoldOptions, killAt: number | ''): Promise<Outcome> {
  const args = ['--import=tsx', FOLD_CHILD, JSON.stringify(options), String(killAt)]
  return new Promise((resolve, reject) => {
    const process = spawn(globalThis.process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    process.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
    })
    process.on('error', reject)
    process.on('close', (code, signal) => {
      if (signal === 'SIGKILL') resolve({ killed: true, resumed: null })
      else if (code === 0) resolve({ killed: false, resumed: JSON.parse(text) })
      else reject(new Error(`the child ended with ${code ?? signal}`))
    })
  })
}
