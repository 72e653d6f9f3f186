import type { NativeBinding } from '../../lib/binding/binding-types.js'

/**
 * Runs a function once with every SIMD target that this machine has, then restores the best one. The target is one for
 * the whole process: tests that use this are serial.
 *
 * @param native - the addon
 * @param run - gets the target's name
 */
export async function forEachSimdTarget(
  native: NativeBinding,
  run: (target: string) => Promise<void> | void,
): Promise<void> {
  const { simd, simdAvailable } = native.devices().cpu
  try {
    for (const target of simdAvailable) {
      native.setSimdTarget(target)
      await run(target)
    }
  } finally {
    native.setSimdTarget(simd)
  }
}
