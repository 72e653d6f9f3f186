// npm's install script: nothing to do when a prebuilt or built addon loads, else build it from source with cmake-js.
'use strict'
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')
const say = (line) => console.error(`taskfold: ${line}`)

/** Why no addon loads, or null when one does. */
function loadFailure() {
  try {
    require('node-gyp-build')(root)
    return null
  } catch (error) {
    return error.message.trim()
  }
}

function has(program) {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
}

function compiles(compiler, header) {
  const input = `#include <${header}>\n`
  return (
    spawnSync(compiler, ['-x', 'c++', '-std=c++20', '-E', '-'], {
      input,
      stdio: ['pipe', 'ignore', 'ignore'],
    }).status === 0
  )
}

/** What a failed build may have lacked, as package names for this system. */
function missingPackages() {
  const compiler = [process.env.CXX, 'c++', 'g++', 'clang++'].find((name) => name && has(name))
  const mac = process.platform === 'darwin'
  const missing = []
  if (!has('cmake')) missing.push('cmake')
  if (!has('make') && !has('ninja')) missing.push(mac ? 'ninja' : 'make')
  if (!compiler) missing.push(mac ? 'llvm' : 'g++')
  const finder = compiler || 'c++'
  if (!compiles(finder, 'hwy/highway.h')) missing.push(mac ? 'highway' : 'libhwy-dev')
  if (!compiles(finder, 'xxhash.h')) missing.push(mac ? 'xxhash' : 'libxxhash-dev')
  // macOS has its own BLAS and LAPACK.
  if (!mac && !compiles(finder, 'openblas_config.h')) missing.push('libopenblas-dev')
  return missing
}

function main() {
  const failure = loadFailure()
  if (failure === null) return 0
  say(`no usable binary for ${process.platform}-${process.arch}: ${failure}`)
  if (!fs.existsSync(path.join(root, 'native'))) {
    say('and no sources to build it from: please reinstall the package')
    return 1
  }
  try {
    require.resolve('cmake-js/package.json', { paths: [root] })
  } catch {
    say(
      'to build it here: npm install cmake-js node-addon-api node-api-headers (needs cmake >= 3.22 and a C++20',
    )
    say('compiler, OpenBLAS, and the headers of highway and xxhash), then npm rebuild taskfold')
    return 1
  }
  if (require('./gyp-cmake.cjs')('build/cmake') !== 0) {
    const missing = missingPackages()
    const install = process.platform === 'darwin' ? 'brew install' : 'apt-get install'
    if (missing.length > 0) say(`the build failed. Install what is missing: ${install} ${missing.join(' ')}`)
    else say('the build failed: see the compiler messages above')
    return 1
  }
  const afterwards = loadFailure()
  if (afterwards !== null) say(`built, but the addon does not load: ${afterwards}`)
  return afterwards === null ? 0 : 1
}

process.exit(main())
