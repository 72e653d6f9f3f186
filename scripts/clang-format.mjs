// Checks the C++ and CUDA sources' format, or rewrites them with --write. Always the npm package's clang-format: other
// releases of it format differently.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'

const root = path.join(import.meta.dirname, '..')
const folders = ['native', 'cuda', 'test/native']
const sources = folders
  .flatMap((folder) =>
    readdirSync(path.join(root, folder), { recursive: true }).map((name) => path.join(folder, name)),
  )
  .filter((name) => /\.(h|cpp|cu|cuh)$/.test(name))
  .sort()

const require = createRequire(import.meta.url)
const clangFormat = path.join(path.dirname(require.resolve('clang-format/package.json')), 'index.js')
const mode = process.argv.includes('--write') ? ['-i'] : ['--dry-run', '--Werror']
const result = spawnSync(process.execPath, [clangFormat, ...mode, '--style=file', ...sources], {
  cwd: root,
  stdio: 'inherit',
})
if (result.status !== 0) {
  console.error('clang-format: run `npm run format` to fix the format of the files above')
  process.exit(1)
}
console.log(`clang-format: ${sources.length} files ${mode[0] === '-i' ? 'written' : 'checked'}`)
