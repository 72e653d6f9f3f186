const WIDTH = 760
const HEIGHT = 420
const LEFT = 60
const RIGHT = 190
const TOP = 40
const BOTTOM = 50
const COLOURS = ['#2f6fde', '#d9622b', '#2a9d5c', '#a04fc4', '#b8860b', '#c0392b', '#5f7a8a', '#008b8b']

/**
 * A line chart over a logarithmic x axis as SVG, readable on light and dark ground.
 *
 * @param {object} chart
 * @param {string} chart.title
 * @param {string} chart.x label of the x axis
 * @param {string} chart.y label of the y axis
 * @param {number[]} chart.ticks marks of the x axis
 * @param {[number, number]} chart.range of the y axis
 * @param {{ name: string, points: [number, number][] }[]} chart.series one point: a mark only
 * @returns {string} a whole SVG document
 */
export function lineChart({ title, x, y, ticks, range, series }) {
  const [low, high] = range
  const span = Math.log(ticks.at(-1) / ticks[0])
  const across = (value) => LEFT + 12 + ((WIDTH - LEFT - RIGHT - 24) * Math.log(value / ticks[0])) / span
  const down = (value) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - value)) / (high - low)
  const text = (at, words, attributes = '') =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" ${attributes}>${words}</text>`
  const parts = []
  for (let value = Math.ceil(low); value <= high; value += high - low > 8 ? 2 : 1) {
    const place = down(value).toFixed(1)
    parts.push(`<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${place}" y2="${place}"/>`)
    parts.push(text([LEFT - 8, down(value) + 4], String(value), 'text-anchor="end"'))
  }
  for (const tick of ticks)
    parts.push(text([across(tick), HEIGHT - BOTTOM + 20], String(tick), 'text-anchor="middle"'))
  for (const [i, { name, points }] of series.entries()) {
    const colour = COLOURS[i % COLOURS.length]
    const places = points.map(([a, b]) => [across(a), down(Math.max(b, low))])
    if (places.length > 1) {
      const path = places.map((place) => place.map((value) => value.toFixed(1)).join(',')).join(' ')
      parts.push(`<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`)
    }
    for (const [a, b] of places)
      parts.push(`<circle cx="${a.toFixed(1)}" cy="${b.toFixed(1)}" r="4" fill="${colour}"/>`)
    const row = TOP + 8 + 20 * i
    parts.push(`<circle cx="${WIDTH - RIGHT + 18}" cy="${row}" r="4" fill="${colour}"/>`)
    parts.push(text([WIDTH - RIGHT + 30, row + 4], name))
  }
  parts.push(text([(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10], x, 'text-anchor="middle"'))
  parts.push(text([LEFT - 44, TOP - 16], y))
  parts.push(text([LEFT + 60, TOP - 16], title, 'font-weight="600"'))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">
<style>
  text { font: 13px system-ui, sans-serif; fill: #222 }
  .grid { stroke: #8884 }
  @media (prefers-color-scheme: dark) { text { fill: #ddd } }
</style>
${parts.join('\n')}
</svg>
`
}
