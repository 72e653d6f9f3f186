/** In front of every tensor's name: PEFT's model, and in it the base model. */
export const PEFT_PREFIX = 'base_model.model.'

/** What the name of a tensor in adapter_model.safetensors says. */
export type PeftKey =
  | {
      readonly what: 'factor'
      readonly module: string
      readonly side: 'a' | 'b'
      readonly embedding: boolean
      /** Name of the adapter when it stands in the key; PEFT leaves it out when it saves. */
      readonly adapter: string
    }
  | { readonly what: 'rest' }
  | { readonly what: 'unsupported'; readonly reason: string }
  | { readonly what: 'invalid'; readonly reason: string }

// Names of adapters have no dots, because they are names of PyTorch modules.
const LINEAR = /^(.+)\.lora_([AB])(?:\.([^.]+))?\.weight$/
const EMBEDDING = /^(.+)\.lora_embedding_([AB])(?:\.([^.]+))?$/

/**
 * Takes apart the name of a tensor in a PEFT adapter.
 *
 * @param name - the tensor's name
 * @returns its module and side, or why it cannot be used
 */
export function parsePeftKey(name: string): PeftKey {
  if (!name.split('.').some((part) => part.startsWith('lora_'))) return { what: 'rest' }
  if (/\.lora_magnitude_vector(\.|$)/.test(name))
    return { what: 'unsupported', reason: 'belongs to DoRA, which is not supported' }
  if (/\.lora_[AB](\.[^.]+)?\.bias$/.test(name))
    return { what: 'unsupported', reason: 'is a bias of a factor (lora_bias), which is not supported' }
  if (!name.startsWith(PEFT_PREFIX))
    return { what: 'invalid', reason: `does not begin with ${PEFT_PREFIX}, so PEFT would not load it` }
  // Patterns of ranks and alphas would be matched line by line.
  if (/[\n\r\u2028\u2029]/.test(name)) return { what: 'invalid', reason: 'has a line break in its name' }
  const key = name.slice(PEFT_PREFIX.length)
  const match = LINEAR.exec(key) ?? EMBEDDING.exec(key)
  if (!match) return { what: 'unsupported', reason: 'belongs to no variant of LoRA that is known' }
  const [, module = '', letter, adapter = ''] = match
  return {
    what: 'factor',
    module,
    side: letter === 'A' ? 'a' : 'b',
    embedding: !LINEAR.test(key),
    adapter,
  }
}

/**
 * Name of a factor in adapter_model.safetensors, as PEFT saves it.
 *
 * @param module - name of the module
 * @param side - which factor
 * @param embedding - whether the module is an embedding
 * @returns the tensor's name
 */
export function peftKey(module: string, side: 'a' | 'b', embedding: boolean): string {
  const letter = side === 'a' ? 'A' : 'B'
  return embedding
    ? `${PEFT_PREFIX}${module}.lora_embedding_${letter}`
    : `${PEFT_PREFIX}${module}.lora_${letter}.weight`
}
