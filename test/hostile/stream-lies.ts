import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext, TestFn } from 'ava'
import { TaskfoldError } from '../../lib/errors/taskfold-error.js'
import { fold } from '../../lib/fold/fold.js'
import { seededRandom } from '../helpers/random.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { type TinyTensor, tinySafetensors } from '../helpers/tiny-checkpoint.js'
import { writeModel } from '../helpers/write-model.js'

/** A delta file taken apart: description, stored tensors in file order. */
export interface Parts {
  // biome-ignore lint/suspicious/noExplicitAny: lies have any shape
  header: any
  stored: Map<string, TinyTensor & { data: Uint8Array }>
}

/** A change of family.json, or of one entry. */
// biome-ignore lint/suspicious/noExplicitAny: lies have any shape
export type Edit = (manifest: any) => void

/** Names of the stream's arrays. */
export const [TABLES, DIRECTORY, CODES] = ['taskfold.tables', 'taskfold.directory', 'taskfold.codes'] as const
/** Task one's delta file. */
export const DELTA = 'tasks/one/delta.safetensors'

/** Deltas with own blocks and joint ones, rows, a whole tensor, the same integers, one that the task lacks. */
export async function foldStreams(folded: string): Promise<void> {
  const random = seededRandom(60)
  const floats = (n: number) => Array.from({ length: n }, () => random.below(2000) / 1000 - 1)
  const near = (values: number[]) => values.map((value) => value + (random.below(2000) / 1000 - 1) * 0.1)
  const [a, b, gone, table] = [floats(40000), floats(15), floats(6), floats(32)]
  const f32 = (shape: number[], data: number[]): TinyTensor => ({ dtype: 'F32', shape, data })
  const ids: TinyTensor = { dtype: 'I64', shape: [2], data: new Uint8Array(16).fill(3) }
  const files = { 'config.json': '{}' }
  const base = writeModel(join(folded, 'base'), {
    tensors: {
      a: f32([2, 20000], a),
      b: f32([3, 5], b),
      gone: f32([6], gone),
      ids,
      table: f32([4, 8], table),
    },
    files,
  })
  const model = (name: string, extra: Record<string, TinyTensor>, rows: number[]) =>
    writeModel(join(folded, name), {
      tensors: {
        a: f32([2, 20000], near(a)),
        b: f32([3, 5], near(b)),
        ids,
        table: f32([rows.length / 8, 8], rows),
        ...extra,
      },
      files,
    })
  const tasks = {
    one: model('one', { head: f32([3], floats(3)) }, [...near(table), ...floats(16)]),
    two: model('two', { gone: f32([6], near(gone)) }, near(table)),
  }
  await fold({ base, tasks, output: join(folded, 'family'), codec: 'step', targetBits: 3, rows: 'prefix' })
}

/** A copy of the family that {@link foldStreams} made, in a folder of its own. */
export function copyFamily(t: ExecutionContext, folded: string): string {
  const root = join(tempFolder(t), 'family')
  cpSync(join(folded, 'family'), root, { recursive: true })
  return root
}

/** Takes task one's delta file apart. */
export function readParts(root: string): Parts {
  const bytes = readFileSync(join(root, DELTA))
  const begin = 8 + Number(bytes.readBigUInt64LE(0))
  const { __metadata__: metadata, ...entries } = JSON.parse(bytes.subarray(8, begin).toString())
  const stored: Parts['stored'] = new Map()
  for (const [name, { dtype, shape, data_offsets: at }] of Object.entries(entries) as [string, never][])
    stored.set(name, { dtype, shape, data: bytes.subarray(begin + at[0], begin + at[1]) })
  const begins = (name: string) => stored.get(name)!.data.byteOffset
  const order = [...stored.keys()].sort((x, y) => begins(x) - begins(y))
  return {
    header: JSON.parse(metadata.taskfold),
    stored: new Map(order.map((name) => [name, stored.get(name)!])),
  }
}

/** Changes family.json. */
export function editManifest(root: string, change: Edit): void {
  const path = join(root, 'family.json')
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  change(manifest)
  writeFileSync(path, JSON.stringify(manifest))
}

/** Writes the delta file; family.json gets its length, so that what is inside is what is looked at. */
export function writeDelta(root: string, bytes: Buffer): void {
  writeFileSync(join(root, DELTA), bytes)
  editManifest(root, (manifest) => {
    const task = manifest.tasks.find(({ name }: { name: string }) => name === 'one')
    const entry = task.files.find(({ path }: { path: string }) => path === DELTA)
    task.bytes += bytes.length - entry.bytes
    entry.bytes = bytes.length
  })
}

/** Puts it together again, lies included. */
export function writeParts(root: string, { header, stored }: Parts): void {
  const plain = tinySafetensors({ tensors: stored, metadata: { taskfold: JSON.stringify(header) } })
  // Data begins at a multiple of 8, as the format wants it.
  const length = Number(plain.readBigUInt64LE(0))
  const padding = -length & 7
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(BigInt(length + padding))
  writeDelta(
    root,
    Buffer.concat([
      prefix,
      plain.subarray(8, 8 + length),
      Buffer.alloc(padding, ' '),
      plain.subarray(8 + length),
    ]),
  )
}

/** Anything but a typed error of the input's own is a bug. */
export function assertTyped(t: ExecutionContext, error: unknown, what: string): void {
  if (!(error instanceof TaskfoldError) || error.code === 'INTERNAL') {
    t.log(error)
    t.fail(`${what}: ${error}`)
  }
}

/** One row of bytes of another length. */
export function resize(stored: Parts['stored'], name: string, length: number): void {
  const data = new Uint8Array(length)
  data.set(stored.get(name)!.data.subarray(0, length))
  stored.set(name, { dtype: 'U8', shape: [length], data })
}

/**
 * Folds once for a test file; every lie gets a copy.
 *
 * @param test - of ava
 * @returns makes a copy for one test
 */
export function foldedOnce(test: TestFn): (t: ExecutionContext) => string {
  const folded = mkdtempSync(join(tmpdir(), 'taskfold-stream-'))
  test.before(() => foldStreams(folded))
  test.after.always(() => rmSync(folded, { recursive: true, force: true }))
  return (t) => copyFamily(t, folded)
}
