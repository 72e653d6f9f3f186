// A Python process that times what it is asked to, so that its alternatives can be interleaved with ours.
import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'

/** On some machines these are set for old OpenBLAS builds; a peer must not be slowed by them. */
const { OPENBLAS_CORETYPE: _, OPENBLAS_L2_SIZE: __, ...rest } = process.env

/** What peers run in. */
export const PEER_ENVIRONMENT = rest

/**
 * Starts a peer.
 *
 * @param {string} script name in this folder
 * @param {string[]} args
 * @param {string} python the interpreter of a virtual environment that has the peer's packages
 * @returns {Promise<{ hello: object, ask: (job: object) => Promise<object>, close: () => void } | null>} null when it
 * cannot be started: no Python, or no torch
 */
export async function startPeer(script, args, python) {
  const child = spawn(python, [path.join(import.meta.dirname, script), ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: PEER_ENVIRONMENT,
  })
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const failed = new Promise((resolve) => child.on('error', () => resolve({ done: true })))
  const next = async () => {
    const { value, done } = await Promise.race([answers.next(), failed])
    return done ? null : JSON.parse(value)
  }
  const hello = await next()
  if (hello === null) return null
  return {
    hello,
    async ask(job) {
      child.stdin.write(`${JSON.stringify(job)}\n`)
      const answer = await next()
      if (answer === null) throw new Error(`${script} ended while it ran ${JSON.stringify(job)}`)
      return answer
    },
    close: () => child.stdin.end(),
  }
}
