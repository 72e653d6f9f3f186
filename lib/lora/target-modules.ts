import { sortNames } from '../checkpoint/names.js'
import { escapePattern } from './escape-pattern.js'
import { nameEnds } from './plain-pattern.js'

/**
 * The shortest list for `target_modules` with which PEFT finds exactly the extracted modules: the last component of a
 * name (`q_proj`) when every module that ends with it was extracted, else the full name. PEFT looks for an entry at the
 * end of each module's name, behind a dot; where even a full name would find another module, a regular expression is
 * given, which PEFT matches with whole names.
 *
 * @param candidates - names of the base's modules, extracted or not
 * @param extracted - names of the modules that the adapter has layers for
 * @returns names in bytewise order, or a regular expression of Python
 */
export function targetModules(candidates: Iterable<string>, extracted: Iterable<string>): string[] | string {
  const wanted = new Set(extracted)
  const others = new Set<string>()
  for (const module of [...candidates, ...wanted]) {
    if (!wanted.has(module)) others.add(module)
    // Modules that hold modules: PEFT refuses to adapt one whose name is found.
    for (let dot = module.indexOf('.'); dot >= 0; dot = module.indexOf('.', dot + 1)) {
      const parent = module.slice(0, dot)
      if (!wanted.has(parent)) others.add(parent)
    }
  }
  const endings = new Set<string>()
  for (const module of others) for (const ending of nameEnds(module)) endings.add(ending)
  const names = new Set<string>()
  for (const module of wanted) {
    const short = module.slice(module.lastIndexOf('.') + 1)
    names.add(endings.has(short) ? module : short)
  }
  if ([...names].some((name) => endings.has(name)))
    return `^(?:${sortNames([...wanted])
      .map(escapePattern)
      .join('|')})$`
  // A full name may have become redundant through a short one of another module, never the other way round.
  return sortNames([...names])
}
