/** A thin singular value decomposition, row-major, values descending: A = U · diag(s) · Vᵀ. */
export interface NaiveSvd {
  u: Float64Array
  s: Float64Array
  vt: Float64Array
}

/**
 * One-sided Jacobi in f64: pairs of columns are rotated until all are orthogonal; their lengths are then the singular
 * values. Slow, and accurate for small singular values as well (Demmel, Veselić 1992).
 *
 * @param a - [rows × columns], row-major, left alone
 * @param rows - of a
 * @param columns - of a
 */
export function jacobiSvd(a: ArrayLike<number>, rows: number, columns: number): NaiveSvd {
  if (rows < columns) {
    const { u, s, vt } = jacobiSvd(transpose(a, rows, columns), columns, rows)
    return { u: transpose(vt, rows, rows), s, vt: transpose(u, columns, rows) }
  }
  const work = Array.from({ length: columns }, (_, j) =>
    Float64Array.from({ length: rows }, (_, i) => a[i * columns + j]!),
  )
  const v = Array.from({ length: columns }, (_, j) => {
    const unit = new Float64Array(columns)
    unit[j] = 1
    return unit
  })
  for (let sweep = 0; sweep < 60; sweep++) {
    let rotated = false
    for (let p = 0; p < columns; p++) {
      for (let q = p + 1; q < columns; q++) {
        const alpha = dot(work[p]!, work[p]!)
        const beta = dot(work[q]!, work[q]!)
        const gamma = dot(work[p]!, work[q]!)
        if (Math.abs(gamma) <= 1e-15 * Math.sqrt(alpha * beta) || gamma === 0) continue
        rotated = true
        const zeta = (beta - alpha) / (2 * gamma)
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta))
        const c = 1 / Math.sqrt(1 + t * t)
        rotate(work[p]!, work[q]!, c, c * t)
        rotate(v[p]!, v[q]!, c, c * t)
      }
    }
    if (!rotated) break
  }
  const norms = work.map((column) => Math.sqrt(dot(column, column)))
  const order = norms.map((_, j) => j).sort((x, y) => norms[y]! - norms[x]!)
  const u = new Float64Array(rows * columns)
  const vt = new Float64Array(columns * columns)
  for (const [k, j] of order.entries()) {
    for (let i = 0; i < rows; i++) u[i * columns + k] = norms[j] === 0 ? 0 : work[j]![i]! / norms[j]!
    vt.set(v[j]!, k * columns)
  }
  return { u, s: Float64Array.from(order, (j) => norms[j]!), vt }
}

/**
 * @param a - [rows × columns], row-major
 * @param rows - of a
 * @param columns - of a
 * @returns [columns × rows]
 */
export function transpose(a: ArrayLike<number>, rows: number, columns: number): Float64Array {
  return Float64Array.from(
    { length: rows * columns },
    (_, at) => a[(at % rows) * columns + Math.floor(at / rows)]!,
  )
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!
  return sum
}

function rotate(x: Float64Array, y: Float64Array, c: number, s: number): void {
  for (let i = 0; i < x.length; i++) {
    const [a, b] = [x[i]!, y[i]!]
    x[i] = c * a - s * b
    y[i] = s * a + c * b
  }
}
