import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type TinyFile, tinySafetensors, tinySharded } from './tiny-checkpoint.js'

/** A model to write: one file of tensors, or several. */
export interface TinyModel {
  tensors?: TinyFile['tensors']
  shards?: Record<string, TinyFile['tensors']>
  metadata?: Record<string, string>
  /** Other files by name. */
  files?: Record<string, string>
}

/** Writes a model as a checkpoint folder; answers the folder. */
export function writeModel(folder: string, { tensors, shards, metadata, files = {} }: TinyModel): string {
  mkdirSync(folder, { recursive: true })
  if (shards !== undefined) tinySharded(folder, shards)
  else writeFileSync(join(folder, 'model.safetensors'), tinySafetensors({ tensors: tensors ?? {}, metadata }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  return folder
}
