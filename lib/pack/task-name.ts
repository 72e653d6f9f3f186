/** Names of tasks become folder names on every file system, so they stay inside what all of them accept. */
const TASK_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/

/**
 * Tells whether a string may name a task: 1 to 64 of `A-Z a-z 0-9 . _ -`, no dot in front, no two dots in a row.
 *
 * @param name - anything, also from a hostile file
 * @returns true when it is a task name
 */
export function isTaskName(name: unknown): name is string {
  return typeof name === 'string' && TASK_NAME.test(name) && !name.includes('..') && !name.endsWith('.')
}
