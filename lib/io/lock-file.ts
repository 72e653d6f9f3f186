import { randomUUID } from 'node:crypto'
import { link, lstat, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import { isAlive, ownIdentity, type ProcessIdentity } from './process-identity.js'

/** A lock that this process holds. */
export interface LockFile {
  /** True when the lock file was already there, left by a process that is gone or that let go of it. */
  tookOver: boolean
  /** Removes the lock file. */
  release(): Promise<void>
  /** Lets go of the lock but leaves the file, as a mark that what it guards is ours. */
  park(): Promise<void>
}

/** Written into a parked lock: no process has this number. */
const PARKED_PID = 0
/** Lock files are a hundred bytes; a longer one is not ours. */
const MAX_LOCK_BYTES = 4096
/** Each failed attempt means that another process took or left the lock in between. */
const ATTEMPTS = 10

/**
 * Takes a lock that is a file with its owner's identity. A lock whose owner is gone is taken over.
 *
 * @param path - path of the lock file
 * @param guarded - path of what it guards, for errors
 * @returns the held lock
 * @throws TaskfoldError OUTPUT_BUSY when its owner is alive or cannot be asked, IO_ERROR
 */
export async function takeLockFile(path: string, guarded: string): Promise<LockFile> {
  const identity = await ownIdentity()
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (await create(path, identity)) return held(path, identity, attempt > 0)
      const found = await readLock(path)
      if (found === null) continue
      const owner = parseOwner(found)
      if (owner === null) throw busy(path, guarded, 'a process that cannot be identified')
      if (owner.pid !== PARKED_PID && (await isAlive(owner))) {
        throw busy(path, guarded, `process ${owner.pid} on ${owner.host}`)
      }
      if (await takeOver(path, found, identity)) return held(path, identity, true)
    }
  } catch (error) {
    throw toTaskfoldError(error, { file: path, action: 'lock' })
  }
  throw busy(path, guarded, 'several processes at once')
}

function held(path: string, identity: ProcessIdentity, tookOver: boolean): LockFile {
  return {
    tookOver,
    release: async () => {
      // Someone may have deleted the file by hand and another process may hold a new one.
      if ((await readLock(path)) === JSON.stringify(identity)) await rm(path, { force: true })
    },
    park: async () => {
      const aside = `${path}.${randomUUID()}`
      await writeFile(aside, JSON.stringify({ ...identity, pid: PARKED_PID }))
      await rename(aside, path)
    },
  }
}

/** Makes the lock file appear with its content in one step, so that nobody reads it half-written. */
async function create(path: string, identity: ProcessIdentity): Promise<boolean> {
  const aside = `${path}.${randomUUID()}`
  const content = JSON.stringify(identity)
  try {
    await writeFile(aside, content, { flag: 'wx' })
    await link(aside, path)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    // Some file systems (exFAT, some network ones) have no hard links.
    if (code === 'EPERM' || code === 'ENOTSUP' || code === 'ENOSYS' || code === 'EMLINK') {
      return createWithoutLink(path, content)
    }
    throw error
  } finally {
    await rm(aside, { force: true })
  }
}

async function createWithoutLink(path: string, content: string): Promise<boolean> {
  try {
    const handle = await open(path, 'wx')
    await handle.writeFile(content).finally(() => handle.close())
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/**
 * Replaces a stale lock, in one step so that it is never missing. Several processes may find it stale at once: who
 * replaces it must hold a lock of its own for that, and then look again whether it is still the same.
 */
async function takeOver(path: string, stale: string, identity: ProcessIdentity): Promise<boolean> {
  const turn = await takeLockFile(`${path}.takeover`, path)
  try {
    if ((await readLock(path)) !== stale) return false
    const aside = `${path}.${randomUUID()}`
    await writeFile(aside, JSON.stringify(identity), { flag: 'wx' })
    await rename(aside, path)
    return true
  } finally {
    await turn.release()
  }
}

async function readLock(path: string): Promise<string | null> {
  try {
    const stats = await lstat(path)
    if (!stats.isFile() || stats.size > MAX_LOCK_BYTES) return ''
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

function parseOwner(text: string): ProcessIdentity | null {
  try {
    const { pid, host, boot, started } = JSON.parse(text) as Partial<Record<keyof ProcessIdentity, unknown>>
    if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid < 0 || typeof host !== 'string')
      return null
    return {
      pid,
      host,
      boot: typeof boot === 'string' ? boot : null,
      started: typeof started === 'string' ? started : null,
    }
  } catch {
    return null
  }
}

function busy(path: string, guarded: string, owner: string): TaskfoldError {
  return new TaskfoldError('OUTPUT_BUSY', `${guarded} is being written by ${owner}`, {
    file: guarded,
    hint: `Wait for it or stop it. If it surely no longer runs, delete ${path}.`,
  })
}
