import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { NativeCuda } from '../../lib/binding/binding-types.js'

const root = join(import.meta.dirname, '..', '..')

/** Where `npm run build:emulated` puts the emulated plug-in, the driver that stands in, and plug-ins to refuse. */
export const EMULATED_FOLDER =
  process.env.TASKFOLD_EMULATED_FOLDER ?? join(root, 'build', 'emulated', 'emulated')

/** Environment of a process that finds a driver, and this plug-in: the emulated one by default. */
export function gpuEnvironment(
  more: Record<string, string> = {},
  plugin = join(EMULATED_FOLDER, 'taskfold_cuda.so'),
): NodeJS.ProcessEnv {
  const env = { ...process.env, LD_LIBRARY_PATH: EMULATED_FOLDER, TASKFOLD_CUDA_LIBRARY: plugin, ...more }
  for (const name of ['TASKFOLD_CUDA', 'CUDA_VISIBLE_DEVICES']) {
    if (!(name in more)) delete (env as NodeJS.ProcessEnv)[name]
  }
  return env
}

/**
 * The plug-in that nvcc built, where there is one that fits the addon; undefined: there is none, or an old one. NVIDIA's
 * runtime inside it is real, the driver that it asks is not.
 */
export function realPlugin(): string | undefined {
  const built = ['build/Release', 'build/ci-cuda/out'].map((folder) => join(root, folder, 'taskfold_cuda.so'))
  return [process.env.TASKFOLD_REAL_PLUGIN ?? '', ...built].find((path) => {
    if (path === '' || !existsSync(path)) return false
    return probeChild(gpuEnvironment({ TASKFOLD_FAKE_DRIVER: 'init=100' }, path)).reason === 'no CUDA device'
  })
}

/** What the child process of probeCuda finds, without the rest of it. */
export function probeChild(env: NodeJS.ProcessEnv): NativeCuda {
  const out = execFileSync(process.execPath, [join(root, 'lib/probe-child.cjs')], { env, encoding: 'utf8' })
  return JSON.parse(/^taskfold-probe (.*)$/m.exec(out)![1]!) as NativeCuda
}

/** What a child process said. */
export interface Ended {
  code: number | null
  out: string
  err: string
}

/** Runs a TypeScript program from sources in a process of its own. */
export function runSources(program: string, args: string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  return new Promise((resolve) => {
    const options = { cwd: root, env, encoding: 'utf8' as const }
    execFile(process.execPath, ['--import=tsx', program, ...args], options, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : null
      resolve({ code, out, err })
    })
  })
}

/** Runs the command line in a process of its own. */
export function runCli(args: string[], env: NodeJS.ProcessEnv): Promise<Ended> {
  return runSources(join(root, 'test', 'helpers', 'cli-child.ts'), args, env)
}
