/**
 * The fewest digits that round back to an f32: 0.3 rounded to f32 prints as 0.30000001192092896 in f64.
 *
 * @param value - an f32 value
 * @returns a number that Math.fround makes `value` again
 */
export function shortestF32(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits))
    if (Object.is(Math.fround(short), value)) return short
  }
  return value
}
