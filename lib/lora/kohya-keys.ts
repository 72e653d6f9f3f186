/** How a file names its factors; the three that kohya's scripts take. */
export type KohyaStyle = 'lora_down' | 'lora_A' | 'down'

/** What the name of a tensor in a file of kohya's scripts or LyCORIS says. */
export type KohyaKey =
  | {
      readonly what: 'factor'
      readonly module: string
      readonly side: 'a' | 'b'
      readonly style: KohyaStyle
    }
  | { readonly what: 'alpha'; readonly module: string }
  | { readonly what: 'rest' }
  | { readonly what: 'unsupported'; readonly reason: string }
  | { readonly what: 'unknown' }

const FACTOR = /^(.+)\.(lora_down|lora_up|lora_A|lora_B|down|up)(?:\.weight)?$/
const STYLES: Readonly<Record<string, readonly [KohyaStyle, 'a' | 'b']>> = {
  lora_down: ['lora_down', 'a'],
  lora_up: ['lora_down', 'b'],
  lora_A: ['lora_A', 'a'],
  lora_B: ['lora_A', 'b'],
  down: ['down', 'a'],
  up: ['down', 'b'],
}

/** Ends of names that other algorithms use, and how to call them. */
const UNSUPPORTED: readonly [RegExp, string][] = [
  [/\.lora_mid\.weight$/, 'belongs to a Tucker decomposition (CP), which is not supported'],
  [/\.hada_(w[12]_[ab]|t[12])$/, 'belongs to LoHa, which is not supported'],
  [/\.lokr_(w[12]|w[12]_[ab]|t[12])$/, 'belongs to LoKr, which is not supported'],
  [/\.(dora_scale|lora_magnitude_vector(\.weight)?)$/, 'belongs to DoRA, which is not supported'],
  [
    /\.(oft_blocks|oft_diag|rescale|oft_[A-Z]\w*(\.\w+)*)$/,
    'belongs to OFT or BOFT, which are not supported',
  ],
  [/\.(a[12]|b[12]|bm)\.weight$/, 'belongs to GLoRA, which is not supported'],
  [/\.on_input$/, 'belongs to IA³, which is not supported'],
  [/\.diff(_b)?$/, 'is a difference of full size, which is not supported'],
  [/\.(w|b)_norm$/, 'is a difference of a norm, which is not supported'],
  [/\.(set_weight|reshape_weight|scalar)$/, 'changes the layer besides its factors, which is not supported'],
  [/\.lora_(A|B|down|up)\.bias$/, 'is a bias of a factor, which is not supported'],
]

/** Textual inversions that LyCORIS bundles with an adapter, and the mark of a ControlLoRA. */
const REST = /^(bundle_emb\.|lora_controlnet$)/

/**
 * Takes apart the name of a tensor in a file of kohya's scripts or LyCORIS.
 *
 * @param name - the tensor's name
 * @returns its module and side, or why it cannot be used
 */
export function parseKohyaKey(name: string): KohyaKey {
  if (REST.test(name)) return { what: 'rest' }
  const match = FACTOR.exec(name)
  if (match) {
    const [style, side] = STYLES[match[2]!]!
    return { what: 'factor', module: match[1]!, side, style }
  }
  if (name.endsWith('.alpha') && name.length > '.alpha'.length)
    return { what: 'alpha', module: name.slice(0, -'.alpha'.length) }
  const known = UNSUPPORTED.find(([end]) => end.test(name))
  if (known) return { what: 'unsupported', reason: known[1] }
  if (name.split('.').some((part) => /^lora_(?!te|unet|transformer|controlnet)/.test(part)))
    return { what: 'unsupported', reason: 'belongs to no variant of LoRA that is known' }
  return { what: 'unknown' }
}
