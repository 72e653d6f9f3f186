import type { AdapterInspection, AdapterLayerInspection } from './adapter-inspection.js'
import { alignColumns } from './align-columns.js'
import { formatBytes } from './format-bytes.js'

/**
 * Writes the inspection of an adapter as text for a terminal.
 *
 * @param adapter - what inspect gave
 * @returns lines with aligned columns, control characters of names not yet escaped
 */
export function adapterLines(adapter: AdapterInspection): string[] {
  const { source, format, base, rank, layers, rest, metadata, otherFiles, totals } = adapter
  const spectra = layers.some((layer) => layer.singularValues !== undefined)
  const header = ['module', 'kind', 'shape', 'rank', 'α', 'scale', 'dtype', 'bytes']
  const rows = layers.map((layer) => [
    layer.module,
    layer.kind,
    shape([layer.rows, layer.columns]),
    String(layer.rank),
    number(layer.alpha),
    number(layer.scale),
    layer.dtype,
    formatBytes(layer.bytes),
    ...spectrum(layer),
  ])
  const text = [
    `adapter ${source} (${format}): ${totals.layers} layers, rank ${rank}, ${totals.parameters} parameters, ${formatBytes(totals.bytes)}`,
    ...(base === null ? [] : [`base ${base}`]),
    '',
    ...alignColumns([spectra ? [...header, 'σ₁', 'σ last', '90 % energy', '99 %'] : header, ...rows], [1, 2]),
  ]
  if (rest.length > 0) {
    const whole = rest.map(({ name, dtype, shape: extents, bytes }) => [
      name,
      dtype,
      shape(extents),
      formatBytes(bytes),
    ])
    text.push('', ...alignColumns([['tensors it has whole', 'dtype', 'shape', 'bytes'], ...whole], [1, 2]))
  }
  const facts = Object.entries(metadata).map(([key, value]) => `${key}=${value}`)
  if (facts.length > 0) text.push('', `metadata: ${facts.join(', ')}`)
  if (otherFiles.length > 0) text.push('', `other files: ${otherFiles.join(', ')}`)
  return text
}

/** Largest and smallest singular value, and the ranks that keep 90 and 99 % of the energy. */
function spectrum({ singularValues, energy }: AdapterLayerInspection): string[] {
  if (singularValues === undefined || energy === undefined) return []
  const rankFor = (share: number) => {
    let sum = 0
    const place = singularValues.findIndex((value) => {
      sum += value * value
      return sum >= share * energy
    })
    return String(place + 1)
  }
  return [number(singularValues[0] ?? 0), number(singularValues.at(-1) ?? 0), rankFor(0.9), rankFor(0.99)]
}

function number(value: number): string {
  return String(Number(value.toPrecision(4)))
}

function shape(extents: readonly number[]): string {
  return `[${extents.join(', ')}]`
}
