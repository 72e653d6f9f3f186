#!/usr/bin/env node
// The built command line; kept apart from it so that a missing build is explained.
import { existsSync } from 'node:fs'

const cli = new URL('../dist/cli.mjs', import.meta.url)

if (existsSync(cli)) {
  const { main } = await import(cli.href)
  await main(process.argv.slice(2))
} else {
  process.stderr.write('error: taskfold is not built yet\nhint: run npm ci && npm run build in its folder\n')
  process.exitCode = 1
}
