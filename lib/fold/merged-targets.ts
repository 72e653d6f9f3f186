import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { NativeRegion } from '../binding/binding-types.js'
import { byteLength } from '../checkpoint/dtypes.js'
import { layoutSafetensors } from '../checkpoint/safetensors-layout.js'
import { MERGED_FOLDER } from '../pack/pack-format.js'
import { type FoldRun, runJob } from './fold-run.js'

/** Where a tensor of merged/ lies. */
export interface MergedPlace {
  /** Absolute path of its file. */
  file: string
  offset: number
  length: number
}

/** The files of merged/, made at full size with their headers, waiting for tensor bytes. */
export interface MergedTargets {
  /** Path and length of each file. */
  files: { path: string; bytes: number }[]
  places: ReadonlyMap<string, MergedPlace>
  /** Bytes of a tensor, or of its first `length` ones. */
  region(name: string, length?: number): NativeRegion
}

/**
 * Makes the safetensors files of merged/. Doing it again changes nothing but the headers, which are the same.
 *
 * @param run - the fold
 * @returns where each tensor's bytes belong
 * @throws TaskfoldError DISK_FULL, IO_ERROR, CANCELLED
 */
export async function makeMergedTargets(run: FoldRun): Promise<MergedTargets> {
  const folder = join(run.work, MERGED_FOLDER)
  await mkdir(folder, { recursive: true })
  const places = new Map<string, MergedPlace>()
  const files: MergedTargets['files'] = []
  for (const { name, metadata, tensors } of run.plan.mergedFiles) {
    const path = join(folder, name)
    const layout = layoutSafetensors(
      tensors.map((tensor) => ({ name: tensor.name, dtype: tensor.dtype, shape: tensor.shape })),
      metadata,
    )
    const file = run.files.output(path)
    const to = { file, offset: 0, length: layout.header.length }
    await runJob(run, async (binding, control) => {
      await binding.allocateFile(file, layout.fileBytes)
      await binding.copyRegions({ copies: [{ name, from: layout.header, to }] }, control)
    })
    for (const { name: tensor, dtype, shape } of tensors) {
      places.set(tensor, {
        file: path,
        offset: layout.offsets.get(tensor)!,
        length: byteLength(dtype, shape),
      })
    }
    files.push({ path, bytes: layout.fileBytes })
  }
  return {
    files,
    places,
    region(name, length) {
      const place = places.get(name)!
      return { file: run.files.output(place.file), offset: place.offset, length: length ?? place.length }
    },
  }
}
