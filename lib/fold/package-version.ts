import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/**
 * @returns the version of this package, as in its package.json
 */
export function packageVersion(): string {
  return (require('taskfold/package.json') as { version: string }).version
}
