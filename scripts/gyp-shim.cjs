#!/usr/bin/env node
// Stands in for node-gyp under prebuildify (PREBUILD_NODE_GYP): no gyp, no Python, no Node headers. Its arguments are
// dropped (--target would be a CMake target to cmake-js). Its folder is fresh and the environment's GPU list is ignored:
// a developer's short list must not ship. CUDA is required unless TASKFOLD_PREBUILD_CUDA says AUTO or OFF.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const build = require('./gyp-cmake.cjs')

delete process.env.TASKFOLD_CUDA_ARCHS
for (const folder of ['Release', 'prebuild']) {
  fs.rmSync(path.join(__dirname, '..', 'build', folder), { recursive: true, force: true })
}
process.exit(build('build/prebuild', `--CDTASKFOLD_CUDA=${process.env.TASKFOLD_PREBUILD_CUDA || 'ON'}`))
