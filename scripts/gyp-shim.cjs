#!/usr/bin/env node
// Stands in for node-gyp under prebuildify (PREBUILD_NODE_GYP): no gyp, no Python, no Node headers. Its arguments are
// dropped (--target would be a CMake target to cmake-js). Its folder is fresh and the environment's GPU list is ignored:
// a developer's short list must not ship. CUDA is required unless TASKFOLD_PREBUILD_CUDA says AUTO or OFF.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const build = require('./gyp-cmake.cjs')
const oldGlibc = require('./old-glibc.cjs')

delete process.env.TASKFOLD_CUDA_ARCHS
const folder = path.join(__dirname, '..', 'build')
for (const name of ['Release', 'prebuild'])
  fs.rmSync(path.join(folder, name), { recursive: true, force: true })
// A library that was compiled already takes the place of another compile (CI).
const library = process.env.TASKFOLD_PREBUILD_CUDA_LIBRARY
const cuda = library ? 'OFF' : process.env.TASKFOLD_PREBUILD_CUDA || 'ON'
const status = build(
  'build/prebuild',
  `--CDTASKFOLD_CUDA=${cuda}`,
  `--CDTASKFOLD_OLD_GLIBC=${oldGlibc(path.join(folder, 'prebuild', 'old-glibc')).join(';')}`,
)
if (status === 0 && library) fs.copyFileSync(library, path.join(folder, 'Release', 'taskfold_cuda.so'))
process.exit(status)
