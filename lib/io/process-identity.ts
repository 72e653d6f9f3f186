import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'

/** Enough to tell a process from a later one that was given the same number. */
export interface ProcessIdentity {
  /** Process number. */
  pid: number
  /** Machine it runs on: a process number means nothing on another one. */
  host: string
  /** The machine's boot, from /proc; null where there is none. */
  boot: string | null
  /** When the process began, in clock ticks since boot, from /proc; null where there is none. */
  started: string | null
}

/**
 * Identity of the process that runs this code.
 *
 * @returns its identity
 */
export async function ownIdentity(): Promise<ProcessIdentity> {
  return {
    pid: process.pid,
    host: hostname(),
    boot: await bootId(),
    started: (await processState(process.pid))?.started ?? null,
  }
}

/**
 * Whether a process still runs. Of a process on another machine nothing can be known: it counts as running.
 *
 * @param identity - what the process wrote about itself
 * @returns false only when it is certainly gone
 */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  if (identity.host !== hostname()) return true
  const boot = await bootId()
  if (boot !== null && identity.boot !== null && boot !== identity.boot) return false
  try {
    process.kill(identity.pid, 0)
  } catch (error) {
    // EPERM: it runs, under another user.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  const state = await processState(identity.pid)
  if (!state) return true
  // A zombie still has its number, but no longer writes.
  if (state.status === 'Z' || state.status === 'X') return false
  return identity.started === null || identity.started === state.started
}

async function bootId(): Promise<string | null> {
  return readFile('/proc/sys/kernel/random/boot_id', 'utf8').then(
    (text) => text.trim(),
    () => null,
  )
}

async function processState(pid: number): Promise<{ status: string; started: string } | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (text === null) return null
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [status, started] = [fields[0], fields[19]]
  return status === undefined || started === undefined ? null : { status, started }
}
