import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { NativeFile, NativeRegion } from '../../lib/binding/binding-types.js'
import type { Random } from '../helpers/random.js'
import { tempFolder } from '../helpers/temp-folder.js'
import { native } from './addon.js'

/** Where the bytes of a region lie. */
export type Place = 'memory' | 'unaligned' | 'file'

export const PLACES: readonly Place[] = ['memory', 'unaligned', 'file']

/** An output region with guard bytes around it. */
export interface OutputRegion {
  region: NativeRegion
  /** The bytes written. Throws when a byte outside of the region changed. */
  read(): Uint8Array
}

/** Makes regions of every kind; everything goes away with the test. */
export interface RegionMaker {
  folder: string
  /** A region that holds these bytes. */
  input(bytes: Uint8Array, place?: Place): NativeRegion
  /** A region to write to, filled with other bytes. */
  output(length: number, place?: Place): OutputRegion
  /** A new file to write to. */
  file(): { file: NativeFile; path: string; read(): Uint8Array }
  /** Closes all files and removes them, for tests that make thousands. */
  clear(): void
}

const GUARD = 0xa5

/**
 * @param t - the test that owns the files
 * @param random - chooses places and offsets when the caller does not
 */
export function regionMaker(t: ExecutionContext, random: Random): RegionMaker {
  const folder = tempFolder(t)
  let open: { file: NativeFile; path: string }[] = []
  let names = 0
  const clear = () => {
    for (const { file, path } of open) {
      file.close()
      rmSync(path, { force: true })
    }
    open = []
  }
  t.teardown(clear)

  const guarded = (length: number, place: Place) => {
    const before = place === 'memory' ? 0 : 1 + random.below(40)
    const bytes = new Uint8Array(before + length + random.below(20)).fill(GUARD)
    return { bytes, before }
  }
  const openPath = (bytes: Uint8Array | null, flags: 'r' | 'w') => {
    const path = join(folder, `${names++}.bin`)
    if (bytes !== null) writeFileSync(path, bytes)
    const file = native.openFile(path, flags)
    open.push({ file, path })
    return { file, path }
  }

  return {
    folder,
    clear,
    input(content, place = random.pick(PLACES)) {
      const { bytes, before } = guarded(content.length, place)
      bytes.set(content, before)
      if (place !== 'file') return bytes.subarray(before, before + content.length)
      return { file: openPath(bytes, 'r').file, offset: before, length: content.length }
    },
    output(length, place = random.pick(PLACES)) {
      const { bytes, before } = guarded(length, place)
      const checked = (now: Uint8Array) => {
        for (let i = 0; i < now.length; i++) {
          if ((i < before || i >= before + length) && now[i] !== GUARD)
            throw new Error(`byte ${i - before} was written`)
        }
        if (now.length !== bytes.length)
          throw new Error(`the file is ${now.length} bytes long, not ${bytes.length}`)
        return now.slice(before, before + length)
      }
      if (place !== 'file') {
        return { region: bytes.subarray(before, before + length), read: () => checked(bytes) }
      }
      const { file, path } = openPath(bytes, 'w')
      return { region: { file, offset: before, length }, read: () => checked(readFileSync(path)) }
    },
    file() {
      const made = openPath(null, 'w')
      return { ...made, read: () => readFileSync(made.path) }
    },
  }
}

/**
 * Same bytes? A cheap comparison with a short message: ava's diff of a million bytes takes minutes.
 *
 * @param actual - bytes got
 * @param expected - bytes wanted
 * @returns '' when equal, else where they differ first
 */
export function differ(actual: Uint8Array, expected: Uint8Array): string {
  if (Buffer.compare(actual, expected) === 0) return ''
  if (actual.length !== expected.length) return `length ${actual.length}, not ${expected.length}`
  const at = actual.findIndex((byte, i) => byte !== expected[i])
  const around = (bytes: Uint8Array) => Buffer.from(bytes.subarray(at & ~7, (at & ~7) + 16)).toString('hex')
  return `byte ${at} of ${actual.length}: …${around(actual)}… instead of …${around(expected)}…`
}
