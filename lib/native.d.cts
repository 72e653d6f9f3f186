import type { NativeBinding } from './binding/binding-types.js'

declare const addon: NativeBinding
export = addon
