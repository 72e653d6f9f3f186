/** Longest part of a name that a message repeats: names come from files and can be megabytes long. */
const QUOTED_CHARACTERS = 200

/**
 * A name from a file as it may stand in a message: quoted, on one line, without control characters, shortened.
 *
 * @param name - tensor name, shard name, dtype string or any other text of a file
 * @returns the quoted name
 */
export function quoteName(name: string): string {
  const shown = name.length > QUOTED_CHARACTERS ? `${name.slice(0, QUOTED_CHARACTERS)}…` : name
  return escapeControls(JSON.stringify(shown))
}

/**
 * Replaces control and text-direction characters, with which a hostile name could rewrite what a terminal shows.
 *
 * @param text - any text
 * @returns the same text with each such character as a `\uXXXX` escape
 */
export function escapeControls(text: string): string {
  return text.replace(
    /[\p{Cc}\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
