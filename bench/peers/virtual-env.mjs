// Virtual environments of the peers, below a cache folder; made once, reused by later runs.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { PEER_ENVIRONMENT } from './python-peer.mjs'

/** One environment would do, if mergekit did not ask for versions of its own. */
const ENVIRONMENTS = {
  torch: ['torch', 'numpy', 'safetensors', 'peft'],
  mergekit: ['mergekit'],
}

/** Where environments are kept; TASKFOLD_BENCH_CACHE overrides. */
export function cacheFolder() {
  const cache = process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache')
  return process.env.TASKFOLD_BENCH_CACHE ?? path.join(cache, 'taskfold-bench')
}

/** Modules that an interpreter lacks; null when it does not start. */
function lacking(python, modules) {
  const script = `import importlib.util as u; print(*[m for m in ${JSON.stringify(modules)} if u.find_spec(m) is None])`
  const { status, stdout } = spawnSync(python, ['-c', script], { encoding: 'utf8', env: PEER_ENVIRONMENT })
  return status === 0 ? stdout.trim().split(' ').filter(Boolean) : null
}

/**
 * The interpreter that has an environment's packages: the given one, one made before, or a new one.
 *
 * @param {'torch' | 'mergekit'} name
 * @param {{ python?: string, install: boolean, pip: string[] }} options `python`: use this one and install nothing; `pip`:
 * more arguments of pip install
 * @returns {{ python: string, lacks: string[] } | { python: null, why: string }}
 */
export function environment(name, { python, install, pip }) {
  const modules = ENVIRONMENTS[name]
  if (python !== undefined) {
    const lacks = lacking(python, modules)
    return lacks === null ? { python: null, why: `${python} does not start` } : { python, lacks }
  }
  const folder = path.join(cacheFolder(), name)
  const own = path.join(folder, 'bin', 'python')
  // Written last: an environment whose making was stopped is made again.
  const complete = path.join(folder, 'complete')
  if (!existsSync(complete)) {
    if (!install) return { python: null, why: 'not installed yet, and --no-install was given' }
    console.log(`making ${folder}: ${modules.join(', ')} (once, some minutes)`)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(path.dirname(folder), { recursive: true })
    const steps = [
      ['python3', '-m', 'venv', folder],
      [own, '-m', 'pip', 'install', '--quiet', ...pip, ...modules],
    ]
    for (const [program, ...args] of steps) {
      const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8', env: PEER_ENVIRONMENT })
      if (status !== 0) {
        const last = (error?.message ?? stderr).trim().split('\n').at(-1)
        return {
          python: null,
          why: `"${[path.basename(program), ...args.slice(0, 3)].join(' ')}" failed: ${last}`,
        }
      }
    }
    writeFileSync(complete, `${modules.join('\n')}\n`)
  }
  return { python: own, lacks: lacking(own, modules) ?? modules }
}
