/** Seeded random numbers for tests: the same seed gives the same values on every machine. */
export interface Random {
  /** Uniform in [0, 2^32). */
  u32(): number
  /** Uniform integer in [0, n). */
  below(n: number): number
  /** Uniform in [0, 1). */
  unit(): number
  /** About normal, mean 0, deviation 1, built from additions only so that every platform agrees. */
  normal(): number
  /** True with probability p. */
  chance(p: number): boolean
  /** One of the items. */
  pick<T>(items: readonly T[]): T
  /** A shuffled copy. */
  shuffled<T>(items: readonly T[]): T[]
}

/**
 * A generator (sfc32) for a seed.
 *
 * @param seed - any 32-bit integer
 */
export function seededRandom(seed: number): Random {
  let [a, b, c, counter] = [0x9e3779b9, seed | 0, seed ^ 0x5bd1e995, 1]
  const u32 = () => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return sum >>> 0
  }
  for (let i = 0; i < 16; i++) u32()
  const unit = () => u32() / 2 ** 32
  const below = (n: number) => Math.floor(unit() * n)
  return {
    u32,
    unit,
    below,
    normal: () => {
      let sum = -6
      for (let i = 0; i < 12; i++) sum += unit()
      return sum
    },
    chance: (p) => unit() < p,
    pick: (items) => items[below(items.length)]!,
    shuffled: (items) => {
      const out = [...items]
      for (let i = out.length - 1; i > 0; i--) {
        const j = below(i + 1)
        ;[out[i], out[j]] = [out[j]!, out[i]!]
      }
      return out
    },
  }
}
