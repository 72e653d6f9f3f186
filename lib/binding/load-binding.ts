import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { NativeBinding } from './binding-types.js'

/** What {@link explainLoadFailure} needs to know about the machine; given by tests, looked up otherwise. */
export interface LoadMachine {
  platform: string
  arch: string
  /** As process.versions.node. */
  nodeVersion: string
  /** True on a Linux without glibc. */
  musl: boolean
  /** True when a C++ compiler and cmake are on PATH. */
  compiler: boolean
  /** Files or environment settings that were looked at, in order. */
  attempts: string[]
}

const require = createRequire(import.meta.url)
let loaded: NativeBinding | undefined

/**
 * Gives the native addon, loading it on the first call, so that importing taskfold never fails by itself.
 *
 * @returns the addon's exports
 * @throws TaskfoldError NATIVE_BINDING with every attempt and the fixes that fit this machine
 */
export function native(): NativeBinding {
  if (loaded === undefined) {
    try {
      loaded = require('#native') as NativeBinding
    } catch (error) {
      throw explainLoadFailure(error, thisMachine())
    }
  }
  return loaded
}

/**
 * Turns a failed load into an error that says what was tried and what helps here.
 *
 * @param error - what require threw
 * @param machine - facts that decide which fixes fit
 * @returns the error to throw, code NATIVE_BINDING
 */
export function explainLoadFailure(error: unknown, machine: LoadMachine): TaskfoldError {
  const reason = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
  const tried =
    machine.attempts.length === 0 ? 'no built addon was found' : `tried ${machine.attempts.join(', ')}`
  return new TaskfoldError('NATIVE_BINDING', `cannot load the native addon: ${reason} (${tried})`, {
    hint: fixes(reason, machine).join('; '),
    cause: error,
  })
}

function fixes(reason: string, machine: LoadMachine): string[] {
  const [major = 0, minor = 0] = machine.nodeVersion.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 17)) {
    return [`this is Node ${machine.nodeVersion}: install Node 20.17 or newer`]
  }
  if (machine.platform !== 'linux' && machine.platform !== 'darwin') {
    return [`taskfold runs on Linux and macOS, not on ${machine.platform}: use WSL or a container`]
  }
  const list: string[] = []
  if (/wrong ELF class|incompatible architecture|invalid ELF header|mach-o/i.test(reason)) {
    list.push(
      `the file was built for another machine than ${machine.platform}-${machine.arch}: reinstall taskfold here`,
    )
  }
  if (/GLIBC(XX)?_/.test(reason))
    list.push('the C or C++ library is older than the build: rebuild from source')
  if (machine.musl) list.push('this system uses musl: no prebuilt addon fits, build from source')
  if (!machine.compiler) {
    list.push(
      machine.platform === 'darwin'
        ? 'install the build tools: xcode-select --install, brew install cmake highway xxhash'
        : machine.musl
          ? 'install the build tools: apk add g++ cmake make highway-dev xxhash-dev openblas-dev'
          : 'install the build tools: apt-get install g++ cmake libhwy-dev libxxhash-dev libopenblas-dev',
    )
  }
  list.push('then run npm rebuild taskfold (or npm run build in a clone)')
  return list
}

function thisMachine(): LoadMachine {
  return {
    platform: process.platform,
    arch: process.arch,
    nodeVersion: process.versions.node,
    musl: process.platform === 'linux' && !glibcVersion(),
    compiler: ['g++', 'clang++', 'c++'].some(onPath) && onPath('cmake'),
    attempts: attempts(),
  }
}

function glibcVersion(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
  return report?.header?.glibcVersionRuntime
}

function attempts(): string[] {
  const override = process.env.TASKFOLD_NATIVE
  if (override) return [`TASKFOLD_NATIVE=${override}${existsSync(override) ? '' : ' (no such file)'}`]
  try {
    const root = join(require.resolve('taskfold/package.json'), '..')
    const folders = ['build/Release', 'build/Debug', `prebuilds/${process.platform}-${process.arch}`]
    return folders.map((folder) => `${folder} (${listAddons(join(root, folder))})`)
  } catch {
    return []
  }
}

function listAddons(folder: string): string {
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith('.node'))
    return names.length === 0 ? 'no .node file' : names.join(' ')
  } catch {
    return 'absent'
  }
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
}
