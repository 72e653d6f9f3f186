import { createRequire } from 'node:module'
import type { NativeBinding } from '../../lib/binding/binding-types.js'

/** The addon itself, without the TypeScript door: kernel tests must see its own errors. */
export const native = createRequire(import.meta.url)('../../lib/native.cjs') as NativeBinding

/** Fields that the addon's errors carry. */
export interface NativeError extends Error {
  code?: string
  tensor?: string
  operand?: string | number
  index?: number
  file?: string
  hint?: string
}
