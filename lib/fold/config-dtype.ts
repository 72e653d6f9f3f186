import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../io/write-file-atomic.js'

/** Names of dtypes in a Hugging Face config.json. */
const CONFIG_NAMES = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' } as const
/** Where config.json keeps it: `torch_dtype` until transformers 4, `dtype` since 5. */
const KEYS = ['torch_dtype', 'dtype']

/**
 * Makes a copied config.json say the dtype that the weights were converted to: loaders would convert them back
 * otherwise. Changes only what is there; a file that is not plain JSON stays as it is.
 *
 * @param folder - holds a copy of config.json, or none
 * @param dtype - storage dtype that was asked for
 * @throws TaskfoldError IO_ERROR, DISK_FULL
 */
export async function setConfigDtype(folder: string, dtype: keyof typeof CONFIG_NAMES): Promise<void> {
  const path = join(folder, 'config.json')
  let config: unknown
  try {
    config = JSON.parse(await readFile(path, 'utf8'))
  } catch {
    return
  }
  if (replaceDtype(config, CONFIG_NAMES[dtype])) {
    await writeFileAtomic(path, `${JSON.stringify(config, null, 2)}\n`)
  }
}

/** Top level and nested configs (text_config, vision_config, …). */
function replaceDtype(value: unknown, name: string): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const config = value as Record<string, unknown>
  let changed = false
  for (const [key, entry] of Object.entries(config)) {
    if (KEYS.includes(key) && typeof entry === 'string' && entry !== name) {
      config[key] = name
      changed = true
    } else if (key.endsWith('config') && replaceDtype(entry, name)) {
      changed = true
    }
  }
  return changed
}
