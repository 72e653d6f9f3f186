import type { CodedDelta, NativeCodedTask } from '../binding/binding-types.js'
import { callNative } from '../binding/call-native.js'
import { native } from '../binding/load-binding.js'
import type { NativeFiles } from '../binding/native-files.js'
import { TaskfoldError } from '../errors/taskfold-error.js'
import type { PackStream } from './pack-types.js'
import type { StreamDelta, TensorPart } from './tensor-parts.js'

/** Streams that are open together with a set of files, and are closed with it. */
const opened = new WeakMap<NativeFiles, Map<PackStream, NativeCodedTask>>()

/** What opening a stream needs. */
export interface OpenStreamsRun {
  /** Open input files; the streams live as long as they do. */
  files: NativeFiles
  /** Task, for errors. */
  task: string
  signal?: AbortSignal
  threads?: number
}

/**
 * Opens the streams that parts are decoded from, each once for a set of files: tables and directory are read and checked.
 *
 * @param parts - of tensors
 * @param run - where they are kept
 * @throws TaskfoldError PACK_INVALID, NOT_FOUND, FILE_TRUNCATED, IO_ERROR, CANCELLED
 */
export async function openStreams(parts: readonly TensorPart[], run: OpenStreamsRun): Promise<void> {
  const { files, task, signal, threads } = run
  const known = opened.get(files) ?? new Map<PackStream, NativeCodedTask>()
  opened.set(files, known)
  for (const stream of new Set(parts.map(({ delta }) => delta?.stream))) {
    if (stream === undefined || known.has(stream)) continue
    const { codec, step, tensors } = stream
    const job = {
      ...{ codec, step, tensors },
      tables: files.region(stream.tables),
      directory: files.region(stream.directory),
      codes: files.region(stream.codes),
    }
    const coded = await callNative((control) => native().openCodedTask(job, control), {
      signal,
      threads,
      context: { file: stream.codes.file, task },
    })
    files.own({
      close() {
        known.delete(stream)
        coded.close()
      },
    })
    known.set(stream, coded)
  }
}

/**
 * A tensor of an open stream as native jobs take it.
 *
 * @param delta - of a part
 * @param files - that its stream was opened with
 * @returns the open stream and the tensor's place
 * @throws TaskfoldError INTERNAL when {@link openStreams} was not called
 */
export function streamDelta({ stream, place }: StreamDelta, files: NativeFiles): CodedDelta {
  const coded = opened.get(files)?.get(stream)
  if (coded === undefined)
    throw new TaskfoldError('INTERNAL', `the stream of ${stream.codes.file} is not open`)
  return { coded, tensor: place }
}
