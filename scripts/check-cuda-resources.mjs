// node scripts/check-cuda-resources.mjs: compiles cuda/ for one GPU target (TASKFOLD_CUDA_ARCHS, default 90), as
// scripts/gpu-suite.sh does, and compares what ptxas says of every kernel with cuda/tuning.h. A kernel's plan is in its
// name, RunBody<Body, threads, blocks>: cuda/launch.h puts it there. Fails when a kernel spills, has a stack frame, takes
// more registers than the plan leaves a thread, or more shared memory than lets the planned blocks run side by side.
// `--log FILE` checks the output of an earlier compile instead.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import oldGlibc from './old-glibc.cjs'

const root = path.join(import.meta.dirname, '..')
const folder = path.join('build', 'cuda-resources')

/** Shared memory of a multiprocessor, and how many threads and blocks it takes, by compute capability. */
const MULTIPROCESSORS = {
  80: { sharedBytes: 164 * 1024, threads: 2048, blocks: 32 },
  86: { sharedBytes: 100 * 1024, threads: 1536, blocks: 16 },
  89: { sharedBytes: 100 * 1024, threads: 1536, blocks: 24 },
  90: { sharedBytes: 228 * 1024, threads: 2048, blocks: 32 },
  100: { sharedBytes: 228 * 1024, threads: 2048, blocks: 32 },
  120: { sharedBytes: 100 * 1024, threads: 1536, blocks: 24 },
}
/** Of every block, for the system. */
const RESERVED_SHARED = 1024
const REGISTERS = 65536

function nvcc() {
  const homes = [process.env.CUDA_PATH, process.env.CUDA_HOME, '/usr/local/cuda'].filter(Boolean)
  if (homes.some((home) => existsSync(path.join(home, 'bin', 'nvcc')))) return true
  return spawnSync('nvcc', ['--version'], { stdio: 'ignore' }).status === 0
}

/** Compiles everything anew and gives the output; its end goes to the terminal when it fails. */
function compile(arch) {
  mkdirSync(path.join(root, folder), { recursive: true })
  const ninja = spawnSync('ninja', ['--version'], { stdio: 'ignore' }).status === 0
  const configure = [
    ...['-S', 'cuda', '-B', folder, '-G', ninja ? 'Ninja' : 'Unix Makefiles'],
    ...[`-DTASKFOLD_CUDA_ARCHS=${arch}`, '-DTASKFOLD_CUDA_REPORT=ON', '-DCMAKE_BUILD_TYPE=Release'],
    // Linked as prebuilds are: .ci/run packs this library instead of compiling another.
    `-DTASKFOLD_OLD_GLIBC=${oldGlibc(path.join(root, folder, 'old-glibc')).join(';')}`,
  ]
  // Reports of files that are compiled at the same time must not mix: ninja never does that, make when told.
  const build = ['--build', folder, '--clean-first', '--parallel', '2', ...(ninja ? [] : ['--', '-Otarget'])]
  let output = ''
  for (const args of [configure, build]) {
    const result = spawnSync('cmake', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
    output = `${result.stdout ?? ''}${result.stderr ?? ''}`
    if (result.status !== 0) {
      console.error(output.split('\n').slice(-60).join('\n'))
      throw new Error(`cmake ${args.join(' ')} failed`)
    }
  }
  return output
}

/** Kernels in ptxas's output, with what each takes. Other device functions count only when they have a stack. */
function kernelsOf(output) {
  const kernels = []
  let kernel
  let last
  for (const line of output.split('\n')) {
    const entry = /Compiling entry function '([^']+)' for 'sm_(\d+)/.exec(line)
    if (entry) {
      kernel = { name: entry[1], arch: entry[2], stack: 0, spills: 0, registers: 0, shared: 0 }
      kernels.push(kernel)
      last = undefined
    }
    const properties = /Function properties for (\S+)/.exec(line)
    if (properties) last = properties[1]
    const stack = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line)
    if (stack && kernel) {
      kernel.stack += Number(stack[1])
      kernel.spills += Number(stack[2]) + Number(stack[3])
      if (last !== kernel.name && Number(stack[1]) > 0) kernel.callee = last
    }
    const used = /Used (\d+) registers/.exec(line)
    if (used && kernel) {
      kernel.registers = Number(used[1])
      kernel.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0)
    }
  }
  return kernels
}

/** Names as in the sources, when c++filt is there. */
function readable(names) {
  try {
    const text = execFileSync('c++filt', { input: names.join('\n'), encoding: 'utf8' })
    return text.trimEnd().split('\n')
  } catch {
    return names
  }
}

/** [threads, blocks] of RunBody<Body, threads, blocks>, or undefined for kernels of libraries. */
function planOf(kernel) {
  const found = /7RunBodyI.*Lj(\d+)ELj(\d+)EEEvT_$/.exec(kernel.name)
  return found ? { threads: Number(found[1]), blocks: Number(found[2]) } : undefined
}

/** What is wrong with a kernel, as sentences. */
function problemsOf(kernel) {
  const problems = []
  if (kernel.spills > 0) problems.push(`spills ${kernel.spills} bytes`)
  const plan = planOf(kernel)
  if (!plan) return problems
  if (kernel.stack > 0) problems.push(`stack frame of ${kernel.stack} bytes`)
  const machine = MULTIPROCESSORS[kernel.arch]
  if (!machine) return [...problems, `sm_${kernel.arch} is not in this script's table`]
  // As launch.h caps it where a multiprocessor has fewer threads.
  const blocks = Math.min(plan.blocks, Math.floor(machine.threads / plan.threads))
  const registers = Math.floor(REGISTERS / (plan.threads * blocks) / 8) * 8
  if (kernel.registers > registers) problems.push(`${kernel.registers} registers, the plan has ${registers}`)
  const shared = Math.floor(machine.sharedBytes / blocks) - RESERVED_SHARED
  if (kernel.shared > shared) {
    problems.push(
      `${kernel.shared} bytes of shared memory, ${blocks} blocks leave ${shared} on sm_${kernel.arch}`,
    )
  }
  if (blocks > machine.blocks) problems.push(`${blocks} blocks, sm_${kernel.arch} takes ${machine.blocks}`)
  return problems
}

/** One line for each kind of kernel and plan: the most that one of its instances takes. */
function table(kernels, names) {
  const kinds = new Map()
  kernels.forEach((kernel, i) => {
    const plan = planOf(kernel)
    const name =
      /RunBody<taskfold::cuda::(?:\(anonymous namespace\)::)?(\w+)/.exec(names[i])?.[1] ?? 'library kernel'
    const key = `${name} ${plan ? `${plan.threads}×${plan.blocks}` : ''} sm_${kernel.arch}`
    const row = kinds.get(key) ?? { kernels: 0, registers: 0, shared: 0, spills: 0, stack: 0 }
    row.kernels++
    for (const field of ['registers', 'shared', 'spills', 'stack'])
      row[field] = Math.max(row[field], kernel[field])
    kinds.set(key, row)
  })
  return Object.fromEntries([...kinds].sort(([a], [b]) => (a < b ? -1 : 1)))
}

function main() {
  const log = process.argv.indexOf('--log')
  if (log < 0 && !nvcc()) {
    console.log('no nvcc here: the CUDA plug-in was not compiled')
    return 0
  }
  const output =
    log < 0 ? compile(process.env.TASKFOLD_CUDA_ARCHS ?? '90') : readFileSync(process.argv[log + 1], 'utf8')
  const kernels = kernelsOf(output)
  const names = readable(kernels.map((kernel) => kernel.name))
  console.table(table(kernels, names))
  if (!kernels.some(planOf))
    throw new Error('no RunBody<Body, threads, blocks> in the report: was launch.h changed?')
  let failed = 0
  kernels.forEach((kernel, i) => {
    const problems = problemsOf(kernel)
    if (problems.length === 0) return
    failed++
    console.error(`sm_${kernel.arch} ${names[i].slice(0, 300)}: ${problems.join('; ')}`)
  })
  console.log(
    `check-cuda-resources: ${kernels.length} kernels, ${failed} not as planned (sm_${kernels[0].arch})`,
  )
  return failed === 0 ? 0 : 1
}

try {
  process.exitCode = main()
} catch (error) {
  console.error(`check-cuda-resources: ${error.message}`)
  process.exitCode = 1
}
