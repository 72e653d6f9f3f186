import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { fold } from '../../lib/fold/fold.js'
import { seededRandom } from '../helpers/random.js'
import { randomFloats } from '../helpers/random-floats.js'
import { tinySafetensors } from '../helpers/tiny-checkpoint.js'
import { native } from './addon.js'
import { regionMaker } from './regions.js'

const MIB = 2 ** 20
const FILE_MIB = 86
/** Milliseconds. */
const LIMIT = 20

/** By how many milliseconds a 5 ms timer was late at worst, of this thread and of one that does nothing else. */
interface Lateness {
  here: number
  elsewhere: number
}

/** The timer of a thread without work: what it is late, the machine owes, not the addon. */
const CONTROL = `
  const { parentPort } = require('node:worker_threads')
  let worst = 0
  let due = performance.now() + 5
  const tick = () => {
    worst = Math.max(worst, performance.now() - due)
    due = performance.now() + 5
    timer = setTimeout(tick, 5)
  }
  let timer = setTimeout(tick, 5)
  parentPort.on('message', () => {
    clearTimeout(timer)
    parentPort.postMessage(worst)
    parentPort.close()
  })
  parentPort.postMessage('ready')
`

async function worstLateness(run: () => Promise<unknown>): Promise<Lateness> {
  const control = new Worker(CONTROL, { eval: true, execArgv: [] })
  await once(control, 'message')
  let here = 0
  let due = performance.now() + 5
  let timer: NodeJS.Timeout
  const tick = () => {
    here = Math.max(here, performance.now() - due)
    due = performance.now() + 5
    timer = setTimeout(tick, 5)
  }
  timer = setTimeout(tick, 5)
  await run()
  here = Math.max(here, performance.now() - due)
  clearTimeout(timer)
  control.postMessage('stop')
  const [elsewhere] = (await once(control, 'message')) as [number]
  await control.terminate()
  return { here, elsewhere }
}

/** Three files of weights, with `head` before them; any bytes will do as long as no two files are alike. */
function writeModels(folder: string, head: Uint8Array): string[] {
  const random = seededRandom(1101)
  const block = randomFloats(random, 'BF16', MIB / 2, 'normal')
  return [0, 1, 2].map((i) => {
    const path = join(folder, `model-${i}.safetensors`)
    const fd = openSync(path, 'w')
    writeSync(fd, head)
    for (let j = 0; j < FILE_MIB; j++) {
      const turn = 2 * random.below(MIB / 2)
      writeSync(fd, block, turn)
      writeSync(fd, block, 0, turn)
    }
    closeSync(fd)
    return path
  })
}

/** Best of three runs: what this thread's timer is late beyond the idle thread's. */
async function checkLateness(t: ExecutionContext, run: () => Promise<unknown>): Promise<void> {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < 3 && best >= LIMIT; round++) {
    const { here, elsewhere } = await worstLateness(run)
    t.log(`worst lateness ${here.toFixed(1)} ms, of an idle thread ${elsewhere.toFixed(1)} ms`)
    best = Math.min(best, Math.max(0, here - elsewhere))
  }
  t.true(best < LIMIT, `${best} ms`)
}

test.serial('timers stay on time while 256 MiB are merged and emitted', async (t) => {
  const regions = regionMaker(t, seededRandom(1102))
  const elements = (FILE_MIB * MIB) / 2
  const paths = writeModels(regions.folder, new Uint8Array(0))
  const files = paths.map((path) => native.openFile(path, 'r'))
  t.teardown(() => {
    for (const file of files) file.close()
  })
  const [base, ...tasks] = files.map((file) => ({
    region: { file, offset: 0, length: FILE_MIB * MIB },
    dtype: 'BF16' as const,
  }))
  await checkLateness(t, async () => {
    const out = regions.file()
    const delta = regions.file()
    await native.allocateFile(out.file, FILE_MIB * MIB)
    const merged = { file: out.file, offset: 0, length: FILE_MIB * MIB }
    const lambda = Math.fround(0.3)
    const selection = new native.Selection(tasks.map(() => ({ k: Math.floor(elements / 10), elements })))
    const tensor = { name: 'w', elements, dtype: 'BF16' as const }
    const merges = [{ ...tensor, base: base!, tasks, out: merged }]
    await native.sampleResiduals({ tensors: merges, lambda, selection }, {})
    await native.mergeTensors({ tensors: merges, lambda, selection }, {})
    while (!selection.advance())
      await native.countResiduals({ tensors: [{ ...tensor, tasks, merged }], selection }, {})
    let offset = 0
    for (const [i, task] of tasks.entries()) {
      const threshold = selection.thresholds()[i]!
      const tensors = [{ ...tensor, task, merged }]
      const emitted = await native.emitDelta(
        { tensors, threshold, index: 'auto', out: delta.file, offset },
        {},
      )
      offset = emitted.offset
    }
    out.file.close()
    delta.file.close()
  })
})

test.serial('timers stay on time during a whole fold', async (t) => {
  const regions = regionMaker(t, seededRandom(1103))
  const shape = [FILE_MIB, MIB / 2]
  const empty = { w: { dtype: 'BF16', shape, data: [], offsets: [0, FILE_MIB * MIB] } }
  const [base, ...tasks] = writeModels(regions.folder, tinySafetensors({ tensors: empty }))
  let outputs = 0
  await checkLateness(t, () =>
    fold({
      base: base!,
      tasks: tasks.map((path, i) => ({ name: `task-${i}`, path })),
      output: join(regions.folder, `family-${outputs++}`),
    }),
  )
})
