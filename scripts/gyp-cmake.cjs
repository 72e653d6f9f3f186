// Builds the addon with cmake-js, run by this very node. binding.gyp's action and the install script come here with
// build/cmake; gyp-shim.cjs with a folder and options of its own.
'use strict'
const { spawnSync } = require('node:child_process')
const path = require('node:path')

const root = path.join(__dirname, '..')

/** Returns the exit status of cmake-js. */
function build(folder, ...options) {
  const cmakeJs = path.dirname(require.resolve('cmake-js/package.json', { paths: [root] }))
  const args = [path.join(cmakeJs, 'bin', 'cmake-js'), 'build', '-O', folder, ...options]
  return spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status ?? 1
}

module.exports = build
if (require.main === module) process.exit(build('build/cmake'))
