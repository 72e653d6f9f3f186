import type { UsedDevice } from '../binding/device-choice.js'
import { escapeControls } from '../errors/quote-name.js'
import type { AdapterWarning } from '../lora/adapter-types.js'
import type { LoraExtractResult } from '../lora/lora-extract.js'
import type { LoraResizeResult } from '../lora/lora-resize.js'
import type { LoraExtractPreview } from '../lora/preview-extract.js'
import { alignColumns } from '../report/align-columns.js'
import { formatBytes } from '../report/format-bytes.js'
import { count } from './count.js'
import { percent } from './percent.js'

/** Tensors of one reason that a person reads; the rest is counted. `--json` lists all. */
const SHOWN = 8

/**
 * A resized adapter as text for a terminal.
 *
 * @param result - what loraResize gave
 * @param listLayers - whether every layer is listed
 * @returns lines, joined, without a trailing newline
 */
export function resizeText(
  result: Omit<LoraResizeResult, 'format' | 'dryRun' | keyof UsedDevice> & { dryRun?: boolean },
  listLayers: boolean,
): string {
  const { output, layers, bytesBefore, bytesAfter, seconds } = result
  const header = ['layer', 'shape', 'rank', 'energy', 'error', 'bytes']
  const rows = layers.map((layer) => [
    layer.module,
    `${layer.rows}×${layer.columns}`,
    `${layer.rankBefore} → ${layer.rankAfter}`,
    percent(layer.retainedEnergy),
    error(layer.relativeError),
    formatBytes(layer.bytesAfter),
  ])
  const before = span(layers.map(({ rankBefore }) => rankBefore))
  const after = span(layers.map(({ rankAfter }) => rankAfter))
  return [
    ...(listLayers ? [...alignColumns([header, ...rows], [1]), ''] : []),
    `${result.dryRun ? 'would write ' : ''}${output}: ${count(layers.length, 'layer')}, rank ${before} → ${after}, ` +
      `${formatBytes(bytesBefore)} → ${formatBytes(bytesAfter)}`,
    `kept ${percent(result.retainedEnergy)} of the squared norm, relative error ${error(result.relativeError)}`,
    `done in ${seconds.toFixed(2)} s`,
    ...warningLines(result.warnings),
  ]
    .map(escapeControls)
    .join('\n')
}

/**
 * An extracted adapter as text for a terminal.
 *
 * @param result - what loraExtract gave
 * @returns lines, joined, without a trailing newline
 */
export function extractText(result: LoraExtractResult): string {
  const { output, layers, bytes, originalBytes, saved, leftOut, unchanged, seconds } = result
  const header = ['layer', 'shape', 'rank', 'energy', 'error', 'bytes']
  const rows = layers.map((layer) => [
    layer.module,
    `${layer.rows}×${layer.columns}`,
    String(layer.rank),
    percent(layer.retainedEnergy),
    error(layer.relativeError),
    formatBytes(layer.bytes),
  ])
  const outside = leftOut.filter(({ squaredNorm }) => squaredNorm !== null)
  return [
    ...alignColumns([header, ...rows], [1]),
    '',
    `${output}: ${count(layers.length, 'layer')} of rank ${span(layers.map(({ rank }) => rank))}, ${formatBytes(bytes)} ` +
      `(${percent(originalBytes === 0 ? null : bytes / originalBytes)} of the fine-tune)`,
    `relative error ${error(result.relativeError)} over these layers; the adapter holds ` +
      `${percent(result.capturedEnergy)} of the squared norm of the whole task vector`,
    `done in ${seconds.toFixed(2)} s`,
    ...listed('stored whole', saved),
    ...listed('unchanged, no layer', unchanged),
    ...listed(
      'changed, but left out',
      outside.map(({ name, reason }) => `${name} (${reason})`),
    ),
    ...listed(
      'left out',
      leftOut.filter((tensor) => !outside.includes(tensor)).map(({ name, reason }) => `${name} (${reason})`),
    ),
    ...warningLines(result.warnings),
  ]
    .map(escapeControls)
    .join('\n')
}

/**
 * What would be extracted, as text for a terminal.
 *
 * @param preview - what previewLoraExtract gave
 * @returns lines, joined, without a trailing newline
 */
export function previewText(preview: LoraExtractPreview): string {
  const { output, layers, saved, leftOut, bytes, originalBytes } = preview
  const rows = layers.map((layer) => [
    layer.module,
    layer.kind,
    `${layer.rows}×${layer.columns}`,
    String(layer.rank),
    formatBytes(layer.bytes),
  ])
  return [
    ...alignColumns([['layer', 'kind', 'shape', 'rank at most', 'bytes at most'], ...rows], [1, 2]),
    '',
    `would write ${output}: ${count(layers.length, 'layer')}, at most ${formatBytes(bytes)} ` +
      `(${percent(originalBytes === 0 ? null : bytes / originalBytes)} of the fine-tune)`,
    ...listed('stored whole', saved),
    ...listed(
      'left out',
      leftOut.map(({ name, reason }) => `${name} (${reason})`),
    ),
  ]
    .map(escapeControls)
    .join('\n')
}

/**
 * Warnings for a terminal.
 *
 * @param warnings - of a written adapter
 * @returns lines; none when there are no warnings
 */
export function warningLines(warnings: readonly AdapterWarning[]): string[] {
  return warnings.length === 0 ? [] : ['', ...warnings.map(({ message }) => `note: ${message}`)]
}

function listed(what: string, names: readonly string[]): string[] {
  if (names.length === 0) return []
  const more = names.length > SHOWN ? `, … and ${names.length - SHOWN} more` : ''
  return [`${what}: ${names.slice(0, SHOWN).join(', ')}${more}`]
}

function span(ranks: readonly number[]): string {
  const [least, most] = [Math.min(...ranks), Math.max(...ranks)]
  return least === most ? String(most) : `${least}–${most}`
}

function error(relative: number): string {
  return relative.toPrecision(3)
}
