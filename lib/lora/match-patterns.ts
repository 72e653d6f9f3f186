import { runInNewContext } from 'node:vm'
import { quoteName } from '../errors/quote-name.js'
import { adapterInvalid, adapterUnsupported } from './adapter-fault.js'
import { isPlainPattern, nameEnds, plainPatternFits } from './plain-pattern.js'

/** Real patterns need microseconds; one that backtracks without end must not stop the process. */
const TIMEOUT_MS = 5000

/** Constructs that JavaScript reads otherwise than Python's `re`, and how to call them. */
const FOREIGN: readonly [RegExp, string][] = [
  [/\\[1-9]/, 'a reference to a group'],
  [/\\(?![dDwWsSbBnrtfvx0])[A-Za-z0-9]/, 'an escape'],
  [/\{,/, 'a repetition without a lower bound'],
  [/\(\?(?!:|=|!|<=|<!)/, 'an extension of Python'],
  [/\[\^?\]/, 'a bracket as the first character of a set'],
]

/**
 * Finds for each module the pattern that PEFT takes: the first whose regular expression fits the module's name, or its
 * end behind a dot.
 *
 * @param keys - keys of rank_pattern or alpha_pattern in their order, regular expressions of Python
 * @param modules - names of modules
 * @param place - file and field, for errors; how long real regular expressions may take
 * @returns for each module the number of its pattern, or -1
 * @throws TaskfoldError ADAPTER_UNSUPPORTED for a pattern that JavaScript cannot read or would understand otherwise,
 * ADAPTER_INVALID when the patterns never come to an end
 */
export function matchPatterns(
  keys: readonly string[],
  modules: readonly string[],
  place: { file: string; field: string; timeoutMs?: number },
): number[] {
  const found = matchPlain(keys, modules)
  const others = keys.flatMap((key, i) => (isPlainPattern(key) ? [] : [i]))
  if (others.length > 0) {
    const sources = others.map((i) => keys[i]!)
    for (const key of sources) assertCommon(key, modules, place)
    for (const [m, o] of matchExpressions(sources, modules, place).entries())
      if (o >= 0) found[m] = Math.min(found[m]!, others[o]!)
  }
  // PEFT looks the module's own name up when no pattern fits it as a regular expression.
  const literal = new Map(keys.map((key, i) => [key, i]))
  return found.map((i, m) => (i < keys.length ? i : (literal.get(modules[m]!) ?? -1)))
}

/** Full names of modules, of which there may be one a layer: too many to try each on each. */
function matchPlain(keys: readonly string[], modules: readonly string[]): number[] {
  const byLength = new Map<number, [key: string, i: number][]>()
  for (const [i, key] of keys.entries()) {
    if (!isPlainPattern(key)) continue
    const same = byLength.get(key.length)
    if (same) same.push([key, i])
    else byLength.set(key.length, [[key, i]])
  }
  return modules.map((module) => {
    const fitting = nameEnds(module).map(
      (end) => byLength.get(end.length)?.find(([key]) => plainPatternFits(key, end))?.[1] ?? keys.length,
    )
    return Math.min(...fitting)
  })
}

function matchExpressions(
  keys: readonly string[],
  modules: readonly string[],
  { file, field, timeoutMs = TIMEOUT_MS }: { file: string; field: string; timeoutMs?: number },
): number[] {
  const sources = keys.map(expression)
  try {
    const found = runInNewContext(
      'const r = sources.map((s) => new RegExp(s)); modules.map((m) => r.findIndex((x) => x.test(m)))',
      { sources, modules },
      { timeout: timeoutMs },
    ) as number[]
    return Array.from(found)
  } catch (cause) {
    const endless = (cause as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT'
    const reason = endless ? 'do not come to an end' : 'cannot be matched'
    throw adapterInvalid({ file, cause }, `the patterns of ${field} ${reason}`)
  }
}

const expression = (key: string) => `^(?:(.*\\.)?(${key})$)`

function assertCommon(
  key: string,
  modules: readonly string[],
  { file, field }: { file: string; field: string },
) {
  const shown = `the pattern ${quoteName(key)} of ${field}`
  const hint = 'Write the module’s full name instead.'
  // Escaped punctuation stands for itself in both languages; it would only hide what is looked for.
  const plain = key.replace(/\\[^A-Za-z0-9]/g, '')
  for (const [construct, name] of FOREIGN) {
    if (construct.test(plain))
      throw adapterUnsupported(
        { file, hint },
        `${shown} has ${name} that JavaScript does not read as Python does`,
      )
  }
  // In Python these classes hold all scripts, here only ASCII.
  if (/\\[wWdDsSbB]/.test(plain) && modules.some((module) => /[^\0-\x7f]/.test(module))) {
    throw adapterUnsupported(
      { file, hint },
      `${shown} has a character class, and names of modules are not ASCII`,
    )
  }
  try {
    new RegExp(expression(key))
  } catch (cause) {
    throw adapterUnsupported(
      { file, cause, hint },
      `${shown} is no regular expression that JavaScript can read`,
    )
  }
}
