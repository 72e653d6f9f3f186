import type { Checkpoint, TensorInfo } from '../checkpoint/checkpoint-types.js'
import { sortNames } from '../checkpoint/names.js'
import { quoteName } from '../errors/quote-name.js'
import { adapterInvalid, adapterUnsupported } from './adapter-fault.js'
import type { LoraLayer } from './adapter-types.js'
import { factorShape } from './factor-shape.js'
import { readAlphas } from './kohya-alpha.js'
import { type KohyaStyle, parseKohyaKey } from './kohya-keys.js'

/** Diffusers keeps r and lora_alpha here, from which it takes the scale. */
const DIFFUSERS_KEY = 'lora_adapter_metadata'
/** Marks a ControlLoRA: its other tensors (norms, biases, hint blocks) are whole weights that stay as they are. */
const CONTROL_MARK = 'lora_controlnet'

interface Found {
  a?: TensorInfo
  b?: TensorInfo
  alpha?: TensorInfo
  style?: KohyaStyle
}

/**
 * Finds the layers of an adapter of kohya's scripts or LyCORIS (LoCon). The scale is α/rank; a layer without α has scale
 * 1.
 *
 * @param checkpoint - the file
 * @param signal - stops the reading of the α
 * @returns layers in bytewise order of their modules, and the tensors that belong to none
 * @throws TaskfoldError ADAPTER_INVALID, ADAPTER_UNSUPPORTED, NOT_A_CHECKPOINT for a plain model, IO_ERROR, CANCELLED
 */
export async function kohyaLayers(
  checkpoint: Pick<Checkpoint, 'source' | 'files' | 'tensors'>,
  signal?: AbortSignal,
): Promise<{ layers: LoraLayer[]; rest: TensorInfo[] }> {
  const { path: file, metadata } = checkpoint.files[0]!
  if (metadata[DIFFUSERS_KEY] !== undefined) {
    throw adapterUnsupported(
      { file, hint: 'Load it with diffusers and save it as a PEFT adapter.' },
      `its scale is in ${DIFFUSERS_KEY} of __metadata__ (diffusers), which is not supported`,
    )
  }
  const { found, rest } = collect(checkpoint.tensors, file)
  const modules = sortNames([...found.keys()])
  for (const module of modules) assertComplete(module, found.get(module)!)
  const alphas = await readAlphas(
    modules.flatMap((module) => found.get(module)!.alpha ?? []),
    signal,
  )
  const layers = modules.map((module): LoraLayer => {
    const { a, b, alpha: info } = found.get(module)!
    const shape = factorShape(a!, b!)
    const alpha = info === undefined ? shape.rank : alphas.get(info.name)!
    return { module, ...shape, alpha, scale: alpha / shape.rank, a: a!, b: b! }
  })
  return { layers, rest }
}

function collect(tensors: ReadonlyMap<string, TensorInfo>, file: string) {
  const found = new Map<string, Found>()
  const rest: TensorInfo[] = []
  const unknown: TensorInfo[] = []
  for (const info of tensors.values()) {
    const key = parseKohyaKey(info.name)
    const place = { file, tensor: info.name }
    if (key.what === 'rest') rest.push(info)
    else if (key.what === 'unknown') unknown.push(info)
    else if (key.what === 'unsupported') {
      throw adapterUnsupported(
        {
          ...place,
          hint: 'Merge the adapter into its base with the tool that made it, then use the merged model.',
        },
        `tensor ${quoteName(info.name)} ${key.reason}`,
      )
    } else {
      const known = found.get(key.module) ?? {}
      const side = key.what === 'alpha' ? 'alpha' : key.side
      const style = key.what === 'alpha' ? known.style : key.style
      if (known[side] !== undefined || (known.style ?? style) !== style) {
        throw adapterInvalid(place, `module ${quoteName(key.module)} has factors under two names`)
      }
      found.set(key.module, { ...known, [side]: info, style })
    }
  }
  const factors = [...found.values()].some(({ a, b }) => a !== undefined || b !== undefined)
  if (!factors) throw noAdapter(file)
  if (!tensors.has(CONTROL_MARK) && unknown[0] !== undefined) {
    throw adapterUnsupported(
      {
        file,
        tensor: unknown[0].name,
        hint: 'Only the factors of LoRA and LoCon, and their alpha, are known.',
      },
      `tensor ${quoteName(unknown[0].name)} is no part of a LoRA that is known`,
    )
  }
  return { found, rest: [...rest, ...unknown] }
}

function noAdapter(file: string) {
  return adapterInvalid(
    { file, hint: 'It looks like a whole model: fold takes those, and lora extract makes adapters of them.' },
    'it holds no factors (lora_down, lora_up): it is no LoRA adapter',
  )
}

function assertComplete(module: string, { a, b, alpha }: Found): void {
  if (a !== undefined && b !== undefined) return
  const { file, name } = (a ?? b ?? alpha)!
  const missing =
    a === undefined && b === undefined ? 'no factors' : `no ${a === undefined ? 'down' : 'up'} factor`
  throw adapterInvalid(
    { file, tensor: name },
    `module ${quoteName(module)} has ${quoteName(name)} but ${missing}`,
  )
}
