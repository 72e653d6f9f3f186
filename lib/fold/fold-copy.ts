import type { NativeRegion, Operand } from '../binding/binding-types.js'
import { floatBytes } from '../pack/stored-arrays.js'
import { type FoldRun, fingerprints, runJob, startPhase } from './fold-run.js'
import type { MergedTargets } from './merged-targets.js'
import type { MergeableTensor, MergedTensor } from './plan-tensors.js'

/** Bytes that are copied or read for a fingerprint in one native call. */
const CALL_BYTES = 1024 * 1024 * 1024

/**
 * Completes merged/: the base's own tensors, the base's rows beyond the folded ones, tied tensors; then fingerprints
 * every tensor that the merge did not.
 *
 * @param run - the fold
 * @param targets - the files of merged/
 * @throws TaskfoldError FILE_TRUNCATED, IO_ERROR, DISK_FULL, CANCELLED
 */
export async function foldCopy(run: FoldRun, targets: MergedTargets): Promise<void> {
  const tensors = run.plan.mergedFiles.flatMap((file) => file.tensors)
  const rest = tensors.filter(
    (tensor) => tensor.kind === 'copy' || (tensor.kind === 'merge' && !isMergedWhole(tensor.tensor)),
  )
  const tied = tensors.filter((tensor) => tensor.kind === 'tied')
  if (run.finished.copied !== null) {
    for (const [name, fingerprint] of run.finished.copied.merged)
      run.mergedFingerprints.set(name, fingerprint)
    for (const [name, fingerprint] of run.finished.copied.base) run.baseFingerprints.set(name, fingerprint)
    return
  }
  const sizes = rest.map(({ name }) => targets.places.get(name)!.length)
  const phase = startPhase(run, 'copy', 3 * sizes.reduce((sum, bytes) => sum + bytes, 0))
  for (const tensor of rest) await copyBaseTensor(run, targets, tensor)
  for (const tensor of tied) {
    await copy(run, tensor.name, targets.region(tensor.of), targets.region(tensor.name))
  }
  for (const group of groups(rest, sizes)) {
    const bytes = group.reduce((sum, { name }) => sum + targets.places.get(name)!.length, 0)
    phase.finished(bytes)
    const merged = await fingerprints(
      run,
      group.map(({ name }) => targets.region(name)),
      phase,
    )
    phase.finished(bytes)
    const originals = group.map(({ name }) => run.files.region(run.plan.inputs.base.tensors.get(name)!))
    const base = await fingerprints(run, originals, phase)
    phase.finished(bytes, { tensor: group.at(-1)?.name })
    for (const [i, { name }] of group.entries()) {
      run.mergedFingerprints.set(name, merged[i]!)
      run.baseFingerprints.set(name, base[i]!)
    }
  }
  for (const tensor of tied) {
    run.mergedFingerprints.set(tensor.name, run.mergedFingerprints.get(tensor.of)!)
    run.baseFingerprints.set(tensor.name, run.baseFingerprints.get(tensor.of)!)
  }
  const copied = [...rest, ...tied].map(({ name }) => name)
  const pairs = (map: ReadonlyMap<string, string>) =>
    copied.map((name): [string, string] => [name, map.get(name)!])
  await run.journal.append({
    kind: 'copied',
    merged: pairs(run.mergedFingerprints),
    base: pairs(run.baseFingerprints),
  })
  phase.done()
}

/** True when the merge wrote and fingerprinted every byte of the tensor. */
function isMergedWhole({ elements, base }: MergeableTensor): boolean {
  return elements > 0 && elements === base.elements
}

async function copyBaseTensor(run: FoldRun, targets: MergedTargets, tensor: MergedTensor): Promise<void> {
  const { name } = tensor
  if (tensor.kind === 'copy') await copy(run, name, run.files.region(tensor.base), targets.region(name))
  else if (tensor.kind === 'merge' && tensor.tensor.rows !== null)
    await copyLastRows(run, targets, tensor.tensor)
}

/** The base's rows that no θ* is made of stay in merged/ as they are, in its storage dtype. */
async function copyLastRows(run: FoldRun, targets: MergedTargets, tensor: MergeableTensor): Promise<void> {
  const { name, base, elements, dtype } = tensor
  const place = targets.places.get(name)!
  const file = run.files.output(place.file)
  const skipped = elements * floatBytes(dtype)
  const to = { file, offset: place.offset + skipped, length: place.length - skipped }
  await copyElements(
    run,
    name,
    tailOf(run, tensor, elements),
    { region: to, dtype },
    base.elements - elements,
  )
}

function tailOf(run: FoldRun, { base }: MergeableTensor, elements: number): Operand {
  const { region, dtype } = run.files.operand(base)
  return { region: part(region, elements * floatBytes(dtype)), dtype }
}

/**
 * The end of a region of a file.
 *
 * @param region - as {@link FileTable.region} gave it
 * @param from - first byte that is wanted
 * @returns the bytes from there on
 */
export function part(region: NativeRegion, from: number): NativeRegion {
  if (region instanceof Uint8Array) return region.subarray(from)
  return { file: region.file, offset: region.offset + from, length: region.length - from }
}

/**
 * Copies elements, converting them when the dtypes differ.
 *
 * @param run - the fold
 * @param name - of the tensor
 * @param from - source
 * @param to - target
 * @param elements - how many
 * @param task - whose tensor it is
 */
export async function copyElements(
  run: FoldRun,
  name: string,
  from: Operand,
  to: Operand,
  elements: number,
  task?: string,
): Promise<void> {
  if (from.dtype === to.dtype) await copy(run, name, from.region, to.region, task)
  else if (elements > 0) {
    await runJob(run, (binding, control) => binding.convertRegion({ elements, from, to }, control), { task })
  }
}

/**
 * Copies bytes.
 *
 * @param run - the fold
 * @param name - of the tensor
 * @param from - source
 * @param to - target of the same length
 * @param task - whose tensor it is
 */
export async function copy(
  run: FoldRun,
  name: string,
  from: NativeRegion,
  to: NativeRegion,
  task?: string,
): Promise<void> {
  if ((to instanceof Uint8Array ? to.byteLength : to.length) === 0) return
  await runJob(run, (binding, control) => binding.copyRegions({ copies: [{ name, from, to }] }, control), {
    task,
  })
}

function groups<T>(items: readonly T[], sizes: readonly number[]): T[][] {
  const result: T[][] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const [i, item] of items.entries()) {
    if (bytes + sizes[i]! > CALL_BYTES) {
      result.push([])
      bytes = 0
    }
    result.at(-1)!.push(item)
    bytes += sizes[i]!
  }
  return result
}
