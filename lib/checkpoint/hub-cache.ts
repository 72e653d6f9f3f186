import { readdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { quoteName } from '../errors/quote-name.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { readSmallFile } from '../io/read-small-file.js'

/** Where to look. */
export interface HubCacheOptions {
  /** The cache's root, by default what the environment says (HF_HUB_CACHE and its relatives). */
  cacheDir?: string
  /** The environment, by default this process's. */
  env?: Readonly<Record<string, string | undefined>>
}

/** A source such as `org/name@revision`, taken apart. */
export interface HubRepo {
  /** Organisation or user. */
  org: string
  /** Name of the repository. */
  name: string
  /** Branch, tag or commit. */
  revision: string
}

const COMMIT = /^[0-9a-f]{40}$/
/** Shorter ones are more likely the name of a branch. */
const COMMIT_PREFIX = /^[0-9a-f]{4,39}$/
/** The Hub's own rule for both parts of a name. */
const PART = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$/
const MAX_PART_CHARACTERS = 96
const MAX_REVISION_CHARACTERS = 200
/** A reference holds one commit of 40 characters, perhaps with a newline. */
const MAX_REFERENCE_BYTES = 256

/**
 * Takes apart a source that looks like a repository of the Hugging Face Hub.
 *
 * @param source - what a caller gave
 * @returns its parts, or null when it cannot be a repository's name
 */
export function parseHubRepo(source: string): HubRepo | null {
  const at = source.indexOf('@')
  const id = at === -1 ? source : source.slice(0, at)
  const revision = at === -1 ? 'main' : source.slice(at + 1)
  const parts = id.split('/')
  const [org, name] = parts
  if (parts.length !== 2 || !isPart(org) || !isPart(name) || !isRevision(revision)) return null
  return { org, name, revision }
}

/**
 * Finds a repository's snapshot in the local Hugging Face cache. Nothing is fetched and nothing is written.
 *
 * @param source - `org/name` or `org/name@revision`; revision is a branch, a tag, a commit or a unique beginning of one
 * @param options - where to look
 * @returns absolute path of the snapshot's folder
 * @throws TaskfoldError NOT_FOUND with the command that fetches it, INVALID_ARGUMENT when the source is no such name or
 * the commit's beginning fits several
 */
export async function resolveHubCache(source: string, options: HubCacheOptions = {}): Promise<string> {
  const repo = parseHubRepo(source)
  if (!repo) {
    throw new TaskfoldError('INVALID_ARGUMENT', `${quoteName(source)} is not a repository's name`, {
      hint: 'Write org/name or org/name@revision.',
    })
  }
  const root = options.cacheDir ?? hubCacheRoot(options.env ?? process.env)
  const folder = join(root, `models--${repo.org}--${repo.name}`)
  if (!(await isFolder(folder))) throw notCached(repo, folder, `is not in the Hugging Face cache ${root}`)

  const snapshots = join(folder, 'snapshots')
  const commit = await findCommit(repo, folder, snapshots)
  const snapshot = join(snapshots, commit)
  if (!(await isFolder(snapshot)))
    throw notCached(repo, snapshot, `has no files in the cache at commit ${commit}`)
  return snapshot
}

/**
 * Root of the Hugging Face cache, by the rules of huggingface_hub.
 *
 * @param env - environment variables; empty ones count as unset
 * @returns absolute or relative path, as the environment has it
 */
export function hubCacheRoot(env: Readonly<Record<string, string | undefined>>): string {
  const home = env.HOME || homedir()
  const expand = (path: string) => (path === '~' || path.startsWith('~/') ? join(home, path.slice(1)) : path)
  const own = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE
  if (own) return expand(own)
  const hf = env.HF_HOME || join(env.XDG_CACHE_HOME || join(home, '.cache'), 'huggingface')
  return join(expand(hf), 'hub')
}

async function findCommit(repo: HubRepo, folder: string, snapshots: string): Promise<string> {
  const { revision } = repo
  if (COMMIT.test(revision)) return revision
  const reference = join(folder, 'refs', revision)
  const pointed = await readReference(repo, reference)
  if (pointed !== null) return pointed
  const commits = (await readdir(snapshots).catch(() => [])).filter((name) => COMMIT.test(name))
  const fitting = COMMIT_PREFIX.test(revision) ? commits.filter((commit) => commit.startsWith(revision)) : []
  if (fitting.length > 1) {
    throw new TaskfoldError(
      'INVALID_ARGUMENT',
      `${repo.org}/${repo.name}@${revision} fits several commits: ${fitting.join(', ')}`,
      { file: snapshots, hint: 'Give more of the commit.' },
    )
  }
  const [commit] = fitting
  if (commit !== undefined) return commit
  const others = commits.length > 0 ? `; it has ${commits.slice(0, 5).join(', ')}` : ''
  throw notCached(repo, folder, `is not in the cache at revision ${revision}${others}`)
}

/** The commit that a branch or tag points to, or null when the cache does not know it. */
async function readReference(repo: HubRepo, path: string): Promise<string | null> {
  const damaged = () => notCached(repo, path, `has a damaged reference in the cache: ${path}`)
  const isFile = await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  )
  if (!isFile) return null
  const bytes = await readSmallFile(path, { maxBytes: MAX_REFERENCE_BYTES, tooLarge: damaged })
  const commit = bytes.toString('latin1').trim()
  if (!COMMIT.test(commit)) throw damaged()
  return commit
}

function isPart(part: string | undefined): part is string {
  return (
    part !== undefined &&
    part.length <= MAX_PART_CHARACTERS &&
    PART.test(part) &&
    // The cache's folders join the parts by two dashes.
    !part.includes('--') &&
    !part.includes('..')
  )
}

/** A revision becomes a path below refs/, so each of its parts must be a plain name. */
function isRevision(revision: string): boolean {
  return (
    revision.length <= MAX_REVISION_CHARACTERS &&
    revision.split('/').every((part) => /^[\w.+-]+$/.test(part) && part !== '.' && part !== '..')
  )
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
}

function notCached(repo: HubRepo, file: string, reason: string): TaskfoldError {
  const id = `${repo.org}/${repo.name}`
  const revision = repo.revision === 'main' ? '' : ` --revision ${repo.revision}`
  return new TaskfoldError('NOT_FOUND', `${id} ${reason}`, {
    file,
    hint: `Fetch it first: hf download ${id}${revision}. If you meant a folder, check the path.`,
  })
}
