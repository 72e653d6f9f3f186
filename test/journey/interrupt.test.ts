import { spawn } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { fold } from '../../lib/index.js'
import type { ProgressPhase } from '../../lib/io/progress.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { treeDigest } from '../helpers/tree-digest.js'
import { writeModel } from '../helpers/write-model.js'

const child = join(dirname(fileURLToPath(import.meta.url)), '..', 'helpers', 'cli-child.ts')
const MiB = 1024 * 1024

function models(t: ExecutionContext, mib: number) {
  const folder = tempFolder(t)
  const write = (name: string, factor: number) => {
    const block = new Uint8Array(
      Float32Array.from({ length: MiB / 4 }, (_, i) => ((i * factor) % 1013) / 1013).buffer,
    )
    const data = Buffer.concat(Array.from({ length: mib }, () => block))
    const tensors = { w: { dtype: 'F32', shape: [data.length / 4], data } }
    return writeModel(join(folder, name), { tensors })
  }
  const tasks = [
    { name: 'one', path: write('one', 7) },
    { name: 'two', path: write('two', 11) },
  ]
  return { folder, base: write('base', 3), tasks, output: join(folder, 'family') }
}

const left = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('family'))

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test.serial(`${signal} exits with ${code} and leaves nothing`, async (t) => {
    const { folder, base, tasks, output } = models(t, 64)
    const args = [
      '--import=tsx',
      child,
      'fold',
      base,
      ...tasks.flatMap(({ name, path }) => ['--task', `${name}=${path}`]),
      '-o',
      output,
    ]
    const process = spawn(globalThis.process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, err] = ['', '']
    process.stdout.on('data', (chunk: Buffer) => {
      out += chunk.toString()
    })
    process.stderr.on('data', (chunk: Buffer) => {
      err += chunk.toString()
    })
    const ended = new Promise<number | null>((resolve) => process.on('close', resolve))
    // The partial folder shows that the fold is at work.
    while (!existsSync(`${output}.partial`) && process.exitCode === null)
      await new Promise((r) => setTimeout(r, 2))
    process.kill(signal)
    t.is(await ended, code, err)
    t.is(out, '')
    t.regex(err, /^error: cancelled/)
    t.deepEqual(left(folder), [])
  })
}

const phases: ProgressPhase[] = ['read headers', 'sample', 'merge', 'write deltas']

for (const phase of phases) {
  test.serial(
    `an AbortSignal that fires during '${phase}' rejects with CANCELLED and leaves nothing`,
    async (t) => {
      const { folder, ...options } = models(t, 4)
      const before = treeDigest(folder)
      const controller = new AbortController()
      const onProgress = (progress: { phase: ProgressPhase }) => {
        if (progress.phase === phase) controller.abort()
      }
      await t.throwsAsync(fold({ ...options, signal: controller.signal, onProgress }), { code: 'CANCELLED' })
      t.deepEqual(left(folder), [])
      t.deepEqual(treeDigest(folder), before, 'inputs are as they were')
    },
  )
}

test.serial('a fault of the listener does not leave a half-written family', async (t) => {
  const { folder, ...options } = models(t, 1)
  const onProgress = ({ phase }: { phase: ProgressPhase }) => {
    if (phase === 'write deltas') throw new Error('the listener is broken')
  }
  await t.throwsAsync(fold({ ...options, onProgress }), { message: /the listener is broken/ })
  t.deepEqual(left(folder), [])
})
