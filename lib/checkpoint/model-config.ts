import { TaskfoldError } from '../errors/taskfold-error.js'
import { readSmallFile } from '../io/read-small-file.js'

/** The largest configs (label lists of 20 000 classes) have 2 MB. */
const MAX_CONFIG_BYTES = 32 * 1024 * 1024

/**
 * Reads config.json of a checkpoint. Python writes NaN and Infinity into JSON, and some models do have
 * `"time_step_limit": [0.0, Infinity]`: Infinity is read as such, NaN as null.
 *
 * @param path - path of the file
 * @param signal - stops the reading
 * @returns its content, or null when there is no such file
 * @throws TaskfoldError CONFIG_INVALID, IO_ERROR, CANCELLED
 */
export async function readModelConfig(
  path: string,
  signal?: AbortSignal,
): Promise<Readonly<Record<string, unknown>> | null> {
  let bytes: Buffer
  try {
    bytes = await readSmallFile(path, {
      maxBytes: MAX_CONFIG_BYTES,
      signal,
      tooLarge: (size) => invalid(path, `has ${size} bytes, above the limit of ${MAX_CONFIG_BYTES}`),
    })
  } catch (error) {
    if (error instanceof TaskfoldError && error.code === 'NOT_FOUND') return null
    throw error
  }
  let config: unknown
  try {
    config = parsePythonJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw invalid(path, `is not JSON: ${(cause as Error).message}`, cause)
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config)) {
    throw invalid(path, 'is not a JSON object')
  }
  return config as Record<string, unknown>
}

function parsePythonJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    // Strings are matched too, so that words inside them stay as they are.
    const words = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/gs
    const plain = text.replace(words, (word) => {
      if (word.startsWith('"')) return word
      return word === 'NaN' ? 'null' : word.replace('Infinity', '1e999')
    })
    if (plain === text) throw error
    return JSON.parse(plain)
  }
}

function invalid(path: string, reason: string, cause?: unknown): TaskfoldError {
  return new TaskfoldError('CONFIG_INVALID', `${path} ${reason}`, {
    file: path,
    cause,
    hint: 'Repair the file or fetch it again.',
  })
}
