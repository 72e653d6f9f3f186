/**
 * A name as a regular expression that fits only itself, in Python as in JavaScript.
 *
 * @param name - a module's name
 * @returns the pattern
 */
export const escapePattern = (name: string): string => name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
