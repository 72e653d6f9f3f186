import { spawn, spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { tempFolder } from '../helpers/temp-folder.js'
import { writeModel } from '../helpers/write-model.js'

const helpers = join(dirname(fileURLToPath(import.meta.url)), '..', 'helpers')
const args = (...rest: string[]) => ['--import=tsx', join(helpers, 'cli-child.ts'), ...rest]

test('a reader that goes away is no fault', async (t) => {
  const folder = writeModel(join(tempFolder(t), 'model'), {
    tensors: Object.fromEntries(
      Array.from({ length: 3000 }, (_, i) => [`t${i}`, { dtype: 'F32', shape: [1], data: [i] }]),
    ),
  })
  const child = spawn(process.execPath, args('inspect', folder, '--tensors', '--json'), {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let err = ''
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  child.stdout.once('data', () => child.stdout.destroy())
  const code = await new Promise((resolve) => child.on('close', resolve))
  t.deepEqual([code, err], [0, ''])
})

test('the process exits with the command’s code and prints errors on stderr', (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, args('inspect', 'nowhere/at-all'), {
    encoding: 'utf8',
  })
  t.is(status, 1)
  t.is(stdout, '')
  t.regex(stderr, /^error: .*NOT_FOUND/)
})

test('without a binary the error says what to do, and commands that need none work', (t) => {
  const folder = tempFolder(t)
  const model = writeModel(join(folder, 'model'), { tensors: { w: { dtype: 'F32', shape: [1], data: [1] } } })
  const env = { ...process.env, TASKFOLD_NATIVE: join(folder, 'missing.node') }
  const call = (...rest: string[]) => spawnSync(process.execPath, args(...rest), { encoding: 'utf8', env })
  const devices = call('devices')
  t.is(devices.status, 1)
  t.regex(devices.stderr, /NATIVE_BINDING/)
  t.regex(devices.stderr, /TASKFOLD_NATIVE=.*no such file/)
  t.regex(devices.stderr, /npm rebuild taskfold/)
  t.is(call('inspect', model).status, 0)
  const plan = call('fold', model, '--task', `a=${model}`, '-o', join(folder, 'family'), '--dry-run')
  t.is(plan.status, 0, plan.stderr)
})
