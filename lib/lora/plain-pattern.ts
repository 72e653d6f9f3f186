/**
 * Whether a pattern of PEFT has no special characters but dots, as full names of modules have.
 *
 * @param pattern - a key of rank_pattern or alpha_pattern
 * @returns true when {@link plainPatternFits} can be used
 */
export function isPlainPattern(pattern: string): boolean {
  return /^[\w.]+$/.test(pattern)
}

/**
 * Whether a plain pattern fits a text; its dots stand for any character.
 *
 * @param pattern - a plain pattern
 * @param text - one of {@link nameEnds}
 * @returns what a regular expression would give, without its cost
 */
export function plainPatternFits(pattern: string, text: string): boolean {
  if (pattern.length !== text.length) return false
  for (let i = 0; i < pattern.length; i++) if (pattern[i] !== '.' && pattern[i] !== text[i]) return false
  return true
}

/**
 * The parts of a module's name that PEFT compares patterns and target modules with.
 *
 * @param module - a name
 * @returns the whole name, and what follows each of its dots
 */
export function nameEnds(module: string): string[] {
  const ends = [module]
  for (let dot = module.indexOf('.'); dot >= 0; dot = module.indexOf('.', dot + 1))
    ends.push(module.slice(dot + 1))
  return ends
}
