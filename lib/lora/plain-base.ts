import { join } from 'node:path'
import { quoteName } from '../errors/quote-name.js'
import { adapterUnsupported } from './adapter-fault.js'
import type { LoraAdapter } from './adapter-types.js'
import { CONFIG_FILE } from './read-adapter-config.js'

/** Values of init_lora_weights that leave the base's weights alone; true and false do too. */
const PLAIN = new Set(['gaussian', 'eva', 'orthogonal', 'mica'])

/**
 * Checks that an adapter is relative to the base as it was published. PiSSA, OLoRA, CorDA, LoRA-GA and LoftQ take
 * something out of the base's weights first; what they take depends on the rank, so such an adapter can neither be added
 * to the published base nor be resized.
 *
 * @param adapter - an opened adapter
 * @throws TaskfoldError ADAPTER_UNSUPPORTED naming the value of init_lora_weights
 */
export function assertPlainBase(adapter: Pick<LoraAdapter, 'config' | 'folder'>): void {
  const init = adapter.config?.init_lora_weights ?? true
  if (typeof init === 'boolean' || (typeof init === 'string' && PLAIN.has(init.toLowerCase()))) return
  throw adapterUnsupported(
    {
      file: join(adapter.folder, CONFIG_FILE),
      hint: 'Save it again with path_initial_model_for_weight_conversion, which makes a plain LoRA of it.',
    },
    `init_lora_weights is ${quoteName(typeof init === 'string' ? init : JSON.stringify(init))}: ` +
      'the adapter is relative to a changed base',
  )
}
