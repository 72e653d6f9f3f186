/**
 * JSON text whose bytes depend on the value alone: Maps become objects in their own order, so names that look like
 * numbers keep their place and `__proto__` is a name like any other.
 *
 * @param value - plain data, with Map for objects whose keys come from outside
 * @param indent - spaces per level; 0 gives one line
 * @returns the text, without a trailing newline
 */
export function stableJson(value: unknown, indent = 0): string {
  return render(value, indent, '')
}

function render(value: unknown, indent: number, margin: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = margin + ' '.repeat(indent)
  if (Array.isArray(value)) {
    // Shapes and other short lists of numbers stay on one line.
    if (value.every((item) => typeof item !== 'object'))
      return `[${value.map((v) => JSON.stringify(v)).join(indent ? ', ' : ',')}]`
    return wrap(
      '[',
      ']',
      value.map((item) => render(item, indent, inner)),
      indent,
      margin,
    )
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  const colon = indent === 0 ? ':' : ': '
  const parts = entries
    .filter(([, field]) => field !== undefined)
    .map(([key, field]) => `${JSON.stringify(String(key))}${colon}${render(field, indent, inner)}`)
  return wrap('{', '}', parts, indent, margin)
}

function wrap(open: string, close: string, parts: string[], indent: number, margin: string): string {
  if (parts.length === 0) return open + close
  if (indent === 0) return open + parts.join(',') + close
  const inner = `\n${margin}${' '.repeat(indent)}`
  return `${open}${inner}${parts.join(`,${inner}`)}\n${margin}${close}`
}
