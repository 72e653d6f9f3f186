import { constants } from 'node:fs'
import { copyFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import { NativeFiles } from '../binding/native-files.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import { throwIfAborted } from '../errors/throw-if-aborted.js'
import { toTaskfoldError } from '../errors/to-taskfold-error.js'
import type { PackFile } from '../pack/manifest-types.js'

/** A file of a family, and its path inside an output. */
export interface CheckedCopy {
  from: PackFile
  to: string
}

/** Options of {@link copyChecked}. */
export interface CopyCheckedOptions {
  /** Folder of the family. */
  family: string
  /** Folder that gets the copies. */
  work: string
  task: string
  signal?: AbortSignal
  /** Called with the bytes of each copy. */
  onBytes?: (bytes: number) => void
}

/**
 * Copies files out of a family and checks the copies against their fingerprints: they are small, and a link in a family
 * may lead anywhere.
 *
 * @param copies - what to copy
 * @param options - from where, to where
 * @throws TaskfoldError HASH_MISMATCH naming the file, NOT_FOUND, DISK_FULL, IO_ERROR, CANCELLED
 */
export async function copyChecked(
  copies: readonly CheckedCopy[],
  { family, work, task, signal, onBytes }: CopyCheckedOptions,
): Promise<void> {
  const files = new NativeFiles()
  try {
    for (const { from, to } of copies) {
      throwIfAborted(signal)
      const source = join(family, from.path)
      const target = join(work, to)
      try {
        await mkdir(dirname(target), { recursive: true })
        await copyFile(source, target, constants.COPYFILE_EXCL)
      } catch (error) {
        throw toTaskfoldError(error, { file: source, task, action: 'copy' })
      }
      const region = files.region({ file: target, offset: 0, length: from.bytes })
      const [found] = await callNative(
        (control) => native().fingerprintRegions({ regions: [region] }, control),
        { signal, context: { file: source, task } },
      )
      files.closeFile(target)
      if (found !== from.fingerprint) {
        throw new TaskfoldError(
          'HASH_MISMATCH',
          `${source}: its bytes are not those that the family was written with`,
          {
            file: source,
            task,
            hint: 'fetch or fold the family again; taskfold verify lists everything that changed',
          },
        )
      }
      onBytes?.(from.bytes)
    }
  } finally {
    files.close()
  }
}
