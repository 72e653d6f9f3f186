// Points, ranges and lines as a plain SVG that reads on light and dark pages.

const PANEL = { width: 340, height: 240, left: 52, top: 34, gap: 60 }
/** Told apart by shape too. */
const STYLES = [
  { light: '#b3540b', dark: '#f0a35e', dash: '' },
  { light: '#1f5fa8', dark: '#7db8f5', dash: '5 3' },
]

/** Least squares: y = intercept + slope·x, R², and the largest |y − line| ÷ line. */
export function fitLine(points) {
  const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [mx, my] = [mean(({ x }) => x), mean(({ y }) => y)]
  const xx = mean(({ x }) => (x - mx) ** 2)
  const slope = xx === 0 ? 0 : mean(({ x, y }) => (x - mx) * (y - my)) / xx
  const intercept = my - slope * mx
  const line = (x) => intercept + slope * x
  const total = mean(({ y }) => (y - my) ** 2)
  const r2 = total === 0 ? 1 : 1 - mean(({ x, y }) => (y - line(x)) ** 2) / total
  return {
    slope,
    intercept,
    r2,
    deviation: Math.max(...points.map(({ x, y }) => Math.abs(y - line(x)) / line(x))),
  }
}

/** A round step that divides `limit` into at most `count`. */
function stepFor(limit, count) {
  const power = 10 ** Math.floor(Math.log10(limit / count))
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => limit / step <= count)
}

const number = (value) => String(Number(value.toPrecision(4)))

function panel({ title, label, lines }, index) {
  const all = lines.flatMap(({ points }) => points)
  const x0 = PANEL.left + index * (PANEL.width + PANEL.gap)
  const bottom = PANEL.top + PANEL.height
  const [stepX, stepY] = [
    stepFor(Math.max(...all.map((p) => p.x)), 8),
    stepFor(Math.max(...all.map((p) => p.max)), 5),
  ]
  const limitX = Math.ceil(Math.max(...all.map((p) => p.x)) / stepX) * stepX
  const limitY = Math.ceil(Math.max(...all.map((p) => p.max)) / stepY) * stepY
  const atX = (x) => number(x0 + (x / limitX) * PANEL.width)
  const atY = (y) => number(bottom - (y / limitY) * PANEL.height)
  const out = [`<text class="title" x="${x0}" y="${PANEL.top - 14}">seconds a fold, ${title}</text>`]
  for (let y = 0; y <= limitY + stepY / 2; y += stepY) {
    out.push(`<path class="grid" d="M${x0} ${atY(y)}h${PANEL.width}"/>`)
    out.push(`<text x="${x0 - 6}" y="${Number(atY(y)) + 4}" text-anchor="end">${number(y)}</text>`)
  }
  for (let x = 0; x <= limitX + stepX / 2; x += stepX) {
    out.push(`<path class="grid" d="M${atX(x)} ${bottom}v4"/>`)
    out.push(`<text x="${atX(x)}" y="${bottom + 17}" text-anchor="middle">${number(x)}</text>`)
  }
  out.push(`<text x="${x0 + PANEL.width / 2}" y="${bottom + 35}" text-anchor="middle">${label}</text>`)
  for (const [i, { name, points, fit }] of lines.entries()) {
    const last = Math.max(...points.map((p) => p.x))
    const dash = STYLES[i].dash && ` stroke-dasharray="${STYLES[i].dash}"`
    const y = (x) => atY(Math.max(0, fit.intercept + fit.slope * x))
    out.push(`<path class="s${i} line"${dash} d="M${atX(0)} ${y(0)}L${atX(last)} ${y(last)}"/>`)
    for (const p of points) {
      out.push(`<path class="s${i} range" d="M${atX(p.x)} ${atY(p.min)}V${atY(p.max)}"/>`)
      const [cx, cy] = [Number(atX(p.x)), Number(atY(p.y))]
      out.push(
        i === 0
          ? `<circle class="s${i} dot" cx="${cx}" cy="${cy}" r="4"/>`
          : `<rect class="s${i} dot" x="${cx - 3.5}" y="${cy - 3.5}" width="7" height="7"/>`,
      )
    }
    const legend = `${name}, R² ${fit.r2.toFixed(4)}`
    out.push(
      `<text class="s${i} legend" x="${x0 + 10}" y="${PANEL.top + 16 + 17 * i}">${i === 0 ? '●' : '■'} ${legend}</text>`,
    )
  }
  return out
}

/**
 * @param {{ title: string, label: string, lines: { name: string, points: { x: number, y: number, min: number, max: number }[],
 * fit: { slope: number, intercept: number, r2: number } }[] }[]} panels
 * @returns {string}
 */
export function growthSvg(panels) {
  const width = PANEL.left + panels.length * (PANEL.width + PANEL.gap) - PANEL.gap + 20
  const height = PANEL.top + PANEL.height + 48
  const colours = (key) =>
    STYLES.map((style, i) => `.s${i}{stroke:${style[key]};fill:${style[key]}}`).join('')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    '<title>Time of a fold by number of tasks and by size of the model</title>',
    '<style>text{font:12px system-ui,sans-serif;fill:#333;stroke:none}.title{font-weight:600}.grid{stroke:#8884;fill:none}',
    `.line,.range{fill:none;stroke-width:1.5}${colours('light')}.line,.range{fill:none}text.legend{stroke:none}`,
    `@media (prefers-color-scheme:dark){text{fill:#ccc}${colours('dark')}.line,.range{fill:none}text.legend{stroke:none}}</style>`,
    ...panels.flatMap(panel),
    '</svg>',
    '',
  ].join('\n')
}
