// LoRA resize and extract against what a user would otherwise run, on the same data, in turn.
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { loraResize, readCheckpoint, writeCheckpoint } from '../dist/index.mjs'
import { bf16Bytes, decayingFactors, randomWeights, tunedWeights } from './lora-data.mjs'
import { interleaved, runMeasured } from './measure.mjs'
import { startPeer } from './peers/python-peer.mjs'

const native = createRequire(import.meta.url)('../lib/native.cjs')

/** Milliseconds below which a call is repeated: right after another program's threads, one call says little. */
const QUICK_MS = 50
const REPEATS = 20

/** Median of every alternative, in turn; quick ones several times in a row. The peer's time is its own, without the pipe. */
async function timed(alternatives, rounds) {
  const own = {}
  const errors = {}
  const wrapped = Object.fromEntries(
    Object.entries(alternatives).map(([name, alternative]) => [
      name,
      async () => {
        const times = []
        do {
          const start = process.hrtime.bigint()
          const answer = await alternative()
          times.push(answer?.ms ?? Number(process.hrtime.bigint() - start) / 1e6)
          if (answer?.missing !== undefined) console.log(`${name}: ${answer.missing}`)
          errors[name] = answer?.error
        } while (times[0] < QUICK_MS && times.length < REPEATS)
        own[name] = [...(own[name] ?? []), median(times)]
      },
    ]),
  )
  await interleaved(wrapped, rounds)
  // The first round is the warm-up.
  return Object.fromEntries(
    Object.entries(own).map(([name, list]) => [name, { ms: median(list.slice(1)), error: errors[name] }]),
  )
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1]

const bytesOf = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
const f32 = (array) => ({ region: bytesOf(array), dtype: 'F32' })

/** Relative error of our factors, computed by the peer as for its own. */
async function errorOf({ work, peer }, job, b, a, { rows: out, columns, rank }) {
  const folder = path.join(work, 'ours')
  const tensors = [
    { name: 'b', dtype: 'F32', shape: [out, rank], data: bytesOf(b) },
    { name: 'a', dtype: 'F32', shape: [rank, columns], data: bytesOf(a) },
  ]
  await writeCheckpoint(folder, tensors, { force: true })
  const { error } = await peer.ask({ run: 'error', ...job, factors: path.join(folder, 'model.safetensors') })
  return error
}

async function benchLayer(bench, { rows: out, columns, rank, keep }) {
  const { work, peer, threads, rounds, row, skipFullSvd } = bench
  const { b, a } = decayingFactors(out, columns, rank)
  const folder = path.join(work, `factors-${out}-${columns}`)
  const tensors = [
    { name: 'b', dtype: 'F32', shape: [out, rank], data: bytesOf(b) },
    { name: 'a', dtype: 'F32', shape: [rank, columns], data: bytesOf(a) },
  ]
  await writeCheckpoint(folder, tensors)
  const file = path.join(folder, 'model.safetensors')
  const newB = new Float32Array(out * keep)
  const newA = new Float32Array(keep * columns)
  const products = [{ b: f32(b), a: f32(a), rank, scale: 1 }]
  const layer = { name: 'layer', rows: out, columns, products, keep, outB: f32(newB), outA: f32(newA) }
  const ours = () =>
    native.truncateProducts({ layers: [layer], split: 'sqrt' }, { threads }).then(() => undefined)
  const what = `resize ${out}×${columns}, rank ${rank} → ${keep}, f32`
  const alternatives = { taskfold: ours }
  const ask = (run) => () => peer.ask({ run, file, rank: keep })
  if (peer !== null) {
    for (const run of ['torch qr, qr, svd', 'torch svd_lowrank', 'peft svd']) {
      if (run !== 'peft svd' || !skipFullSvd) alternatives[run] = ask(run)
    }
  }
  const peft = alternatives['peft svd']
  delete alternatives['peft svd']
  const found = await timed(alternatives, rounds)
  if (peer !== null && !skipFullSvd) {
    // A minute each: once is enough.
    const once = await ask('torch full svd')()
    found['torch full svd'] = once
    const slow = await peft()
    if (slow.missing === undefined) found['peft add_weighted_adapter svd'] = slow
  }
  if (peer !== null)
    found.taskfold.error = await errorOf(bench, { file }, newB, newA, { rows: out, columns, rank: keep })
  for (const [name, { ms, error }] of Object.entries(found)) row(what, name, ms, error)
}

async function benchExtract(bench, { rows: out, columns, rank, oversample, powerIters }) {
  const { work, peer, threads, rounds, row } = bench
  const base = randomWeights(out, columns)
  const tuned = tunedWeights(base, out, columns)
  const folders = {}
  for (const [name, weights] of Object.entries({ base, tuned })) {
    folders[name] = path.join(work, `${name}-${out}-${columns}`)
    await writeCheckpoint(folders[name], [
      { name: 'w', dtype: 'BF16', shape: [out, columns], data: bf16Bytes(weights) },
    ])
  }
  const [from, to] = await Promise.all([readCheckpoint(folders.base), readCheckpoint(folders.tuned)])
  const newB = new Float32Array(out * rank)
  const newA = new Float32Array(rank * columns)
  const ours = async () => {
    const operands = [to, from].map((checkpoint) => {
      const { file, offset, length } = checkpoint.tensors.get('w')
      return { region: { file: native.openFile(file, 'r'), offset, length }, dtype: 'BF16' }
    })
    const [matrix, minus] = operands
    const job = { name: 'w', rows: out, columns, matrix, minus, rank, energy: null, oversample, powerIters }
    await native.randomizedSvd(
      { ...job, seed: 0, split: 'sqrt', outB: f32(newB), outA: f32(newA) },
      { threads },
    )
    for (const { region } of operands) region.file.close()
  }
  const files = { tuned: `${folders.tuned}/model.safetensors`, base: `${folders.base}/model.safetensors` }
  const alternatives = { taskfold: ours }
  if (peer !== null) {
    alternatives['torch svd_lowrank'] = () =>
      peer.ask({ run: 'torch svd_lowrank', ...files, rank, oversample, niter: powerIters })
  }
  const found = await timed(alternatives, rounds)
  if (peer !== null)
    found.taskfold.error = await errorOf(bench, files, newB, newA, { rows: out, columns, rank })
  const what = `extract ${out}×${columns} bf16 difference, rank ${rank} + ${oversample}, ${powerIters} power iterations`
  for (const [name, { ms, error }] of Object.entries(found)) row(what, name, ms, error)
}

/** A whole adapter of a 7B-shaped model, files to files. */
async function benchAdapter(bench, layers, rank, keep) {
  const { work, threads, rounds, row } = bench
  const shapes = { q_proj: [4096, 4096], k_proj: [4096, 4096], v_proj: [4096, 4096], o_proj: [4096, 4096] }
  Object.assign(shapes, { gate_proj: [11008, 4096], up_proj: [11008, 4096], down_proj: [4096, 11008] })
  const factors = new Map()
  const tensors = []
  for (let i = 0; i < layers; i++) {
    for (const [name, [out, columns]] of Object.entries(shapes)) {
      const key = `${out}×${columns}`
      if (!factors.has(key)) {
        const { b, a } = decayingFactors(out, columns, rank)
        factors.set(key, { b: bf16Bytes(b), a: bf16Bytes(a) })
      }
      const { b, a } = factors.get(key)
      const stem = `base_model.model.model.layers.${i}.${name}`
      tensors.push({ name: `${stem}.lora_A.weight`, dtype: 'BF16', shape: [rank, columns], data: a })
      tensors.push({ name: `${stem}.lora_B.weight`, dtype: 'BF16', shape: [out, rank], data: b })
    }
  }
  const folder = path.join(work, 'adapter-checkpoint')
  await writeCheckpoint(folder, tensors)
  const adapter = path.join(work, 'adapter')
  mkdirSync(adapter)
  renameSync(path.join(folder, 'model.safetensors'), path.join(adapter, 'adapter_model.safetensors'))
  const config = { peft_type: 'LORA', r: rank, lora_alpha: 2 * rank, target_modules: Object.keys(shapes) }
  writeFileSync(path.join(adapter, 'adapter_config.json'), JSON.stringify(config))
  const output = path.join(work, 'resized')
  const found = await timed(
    {
      'taskfold, API without fsync': async () => {
        await loraResize({ adapter, output, rank: keep, force: true, sync: false, threads })
      },
    },
    rounds,
  )
  for (const [name, { ms }] of Object.entries(found))
    row(`resize a 7B-shaped adapter (${tensors.length / 2} layers, bf16), rank ${rank} → ${keep}`, name, ms)
  const args = ['bin/taskfold.js', 'lora', 'resize', adapter, '--rank', String(keep), '-o', output, '--force']
  const { seconds, peakAnonymousBytes } = await runMeasured(process.execPath, args)
  row(
    'the same by the command, with fsync',
    `peak RssAnon ${(peakAnonymousBytes / 2 ** 20).toFixed(0)} MiB`,
    seconds * 1000,
  )
}

/**
 * @param {{ work: string, layers: number, rounds: number, threads: number, python: string, skipFullSvd: boolean }} options
 * @returns {Promise<{ rows: object[], torch: string | null }>} rows { what, alternative, ms, relative error }; torch null:
 * only our own times
 */
export async function benchLora({ layers, python, ...options }) {
  const { work, threads } = options
  rmSync(work, { recursive: true, force: true })
  mkdirSync(work, { recursive: true })
  const rows = []
  const row = (what, alternative, ms, error) =>
    rows.push({ what, alternative, ms: ms.toFixed(1), 'relative error': error?.toPrecision(6) ?? '' })
  const peer = await startPeer('lora_peer.py', [String(threads)], python)
  if (peer === null) console.log(`${python} has no torch and safetensors: only our own times`)
  const bench = { ...options, peer, row }
  try {
    await benchAdapter(bench, layers, 64, 16)
    await benchLayer(bench, { rows: 4096, columns: 4096, rank: 64, keep: 16 })
    await benchExtract(bench, { rows: 4096, columns: 4096, rank: 32, oversample: 8, powerIters: 2 })
    await benchExtract(bench, { rows: 4096, columns: 11008, rank: 32, oversample: 8, powerIters: 2 })
  } finally {
    peer?.close()
    rmSync(work, { recursive: true, force: true })
  }
  return { rows, torch: peer?.hello.torch ?? null }
}
