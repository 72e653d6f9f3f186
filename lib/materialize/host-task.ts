import type { CopyJob, CountTensor, EntryArrays, ExchangeLayer } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { NativeFiles } from '../binding/native-files.js'
import { assertUnchanged } from '../checkpoint/unchanged.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { createProgress } from '../io/progress.js'
import { openStreams } from '../pack/open-streams.js'
import { BLOCK_ELEMENTS } from '../pack/pack-format.js'
import type { PackTask, PackTensor } from '../pack/pack-types.js'
import { runParts, scatterTensor } from '../pack/run-parts.js'
import { tensorParts } from '../pack/tensor-parts.js'
import { allocateEntries } from './host-memory.js'
import { planChanges, type TensorChange } from './host-plan.js'
import type { SwitchOptions } from './load-types.js'

/** What a loaded task exchanges with one tensor's memory. */
export interface HeldTensor {
  name: string
  /** Bytes of one element of the entries; 1 without entries. */
  itemSize: 1 | 2 | 4 | 8
  /** Holds the task's bits while the task is not in use, θ*'s while it is. */
  layer: ExchangeLayer
}

/** A task in memory. */
export interface HostTask {
  task: PackTask
  held: HeldTensor[]
  /** Tensors of which nearly everything changes: decoded into place, not held. */
  remade: TensorChange[]
  /** Bytes of memory that `held` takes. */
  bytes: number
}

/** A remainder with the number of its entries known. */
interface Counted {
  change: TensorChange
  tensor: CountTensor
  itemSize: 1 | 2 | 4
  kept: number
}

const POSITION_BYTES = 2

/** A tensor no longer than this is held whole when nearly all of it changes: a switch then reads no file for it. */
const MOST_WHOLE_BYTES = 1024 * 1024

/**
 * Reads and decodes what a task changes. The model is not touched.
 *
 * @param task - the open task
 * @param options - signal, onProgress, threads
 * @returns the task's entries
 * @throws TaskfoldError PACK_INVALID, INPUT_CHANGED, OUT_OF_MEMORY, CANCELLED, FILE_TRUNCATED, IO_ERROR
 */
export async function readHostTask(task: PackTask, options: SwitchOptions): Promise<HostTask> {
  const { signal, threads, onProgress } = options
  const changes = planChanges(task)
  const files = new NativeFiles()
  const total = changes.reduce((sum, { remainder }) => sum + 2 * (remainder?.length ?? 0), 0)
  const progress = createProgress(onProgress, 'load', total)
  let done = 0
  const call = () => ({
    ...{ signal, threads },
    onProgress: (bytes: number) => progress.set(Math.min(done + bytes, total), { task: task.name }),
    context: { task: task.name },
  })
  try {
    const counted = await count(task.name, changes, files, call())
    done = total / 2
    const dense = counted.filter(isDense).map(({ change }) => change)
    const remade = dense.filter(({ tensor }) => tensor.byteLength > MOST_WHOLE_BYTES)
    const sparse = counted.filter((tensor) => !isDense(tensor))
    const layers = new Map<string, ExchangeLayer>()
    for (const { name, tensor } of dense) {
      if (tensor.byteLength > MOST_WHOLE_BYTES) continue
      const bytes = allocateEntries(tensor.byteLength, name, task.name)
      await makeTensor(task, tensor, bytes, { files, signal, threads })
      layers.set(name, { elements: 0, bytes, at: 0 })
    }
    const tensors = sparse.map(({ change, tensor, itemSize, kept }) => {
      const positions = allocateEntries(kept * POSITION_BYTES, change.name, task.name)
      const values = allocateEntries(kept * itemSize, change.name, task.name)
      layers.set(change.name, {
        ...{ elements: tensor.elements, bytes: null, at: 0 },
        ...{ starts: tensor.starts, positions, values },
      })
      return { ...tensor, positions, values }
    })
    await callNative((control) => native().collectEntries({ tensors }, control), call())
    const copies: CopyJob['copies'] = []
    for (const change of changes) {
      if (change.stored === null || dense.includes(change)) continue
      const { at, from } = change.stored
      const bytes = allocateEntries(from.length, change.name, task.name)
      copies.push({ name: change.name, from: files.region(from), to: bytes })
      layers.set(change.name, { ...(layers.get(change.name) ?? { elements: 0 }), bytes, at })
    }
    await callNative((control) => native().copyRegions({ copies }, control), call())
    await assertUnchanged(task.merged)
    await assertUnchanged(task)
    const sizes = new Map(sparse.map(({ change, itemSize }) => [change.name, itemSize]))
    const held = [...layers].map(([name, layer]): HeldTensor => {
      return { name, itemSize: sizes.get(name) ?? 1, layer }
    })
    progress.done()
    return { task, held, remade, bytes: held.reduce((sum, { layer }) => sum + layerBytes(layer), 0) }
  } catch (error) {
    throw nameFile(error, task)
  } finally {
    files.close()
  }
}

/**
 * Decodes a tensor of a task to memory.
 *
 * @param task - the open task
 * @param tensor - one of its tensors
 * @param out - as long as the tensor
 * @param run - open files, signal, threads
 * @throws TaskfoldError PACK_INVALID, CANCELLED, FILE_TRUNCATED, IO_ERROR
 */
export async function makeTensor(
  task: PackTask,
  tensor: PackTensor,
  out: Uint8Array,
  run: { files: NativeFiles; signal?: AbortSignal; threads?: number },
): Promise<void> {
  const jobs = tensorParts(task, tensor).map((part) => {
    return { part, out: out.subarray(part.at, part.at + part.length) }
  })
  await runParts(jobs, { ...run, task: task.name })
}

async function count(
  task: string,
  changes: readonly TensorChange[],
  files: NativeFiles,
  call: Parameters<typeof callNative>[1],
): Promise<Counted[]> {
  const parts = changes.flatMap(({ remainder }) => (remainder === null ? [] : [remainder]))
  await openStreams(parts, { files, task, signal: call?.signal, threads: call?.threads })
  const counted = changes.flatMap((change): Counted[] => {
    if (change.remainder === null) return []
    const { out, ...tensor } = scatterTensor({ part: change.remainder, out: new Uint8Array(0) }, files)
    const blocks = Math.ceil(tensor.elements / BLOCK_ELEMENTS)
    const starts = allocateEntries((blocks + 1) * 8, change.name, task)
    const itemSize = (change.remainder.length / tensor.elements) as Counted['itemSize']
    return [{ change, tensor: { ...tensor, starts }, itemSize, kept: 0 }]
  })
  await callNative(
    (control) => native().countEntries({ tensors: counted.map(({ tensor }) => tensor) }, control),
    call,
  )
  for (const entry of counted) {
    const { starts } = entry.tensor
    entry.kept = Number(new BigUint64Array(starts.buffer, starts.byteOffset, starts.length / 8).at(-1))
  }
  return counted
}

/** Entries that take more than the tensor itself are no shorter way to it. */
function isDense({ change, itemSize, kept }: Counted): boolean {
  return kept * (itemSize + POSITION_BYTES) >= change.remainder!.length
}

function layerBytes({ starts, positions, values, bytes }: ExchangeLayer & Partial<EntryArrays>): number {
  return [starts, positions, values, bytes].reduce((sum, array) => sum + (array?.length ?? 0), 0)
}

/** Native code knows the tensor whose delta lies; the file that describes it is known here. */
function nameFile(error: unknown, task: PackTask): unknown {
  if (!(error instanceof TaskfoldError) || error.code !== 'PACK_INVALID' || error.file !== undefined)
    return error
  const file = task.tensors.get(error.tensor ?? '')?.describedIn ?? task.files[0]?.path
  if (file === undefined) return error
  const { code, message, tensor, hint } = error
  return new TaskfoldError(code, `${file}: ${message}`, { file, tensor, task: task.name, hint, cause: error })
}
