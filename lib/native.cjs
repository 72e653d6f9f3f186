'use strict'
// The one place that finds taskfold.node, shared by the ESM and the CJS build so that both use one addon.
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')
const override = process.env.TASKFOLD_NATIVE
const file = override ? path.resolve(override) : require('node-gyp-build').path(root)
const addon = require(file)

function cudaLibrary() {
  if (process.env.TASKFOLD_CUDA_LIBRARY) return process.env.TASKFOLD_CUDA_LIBRARY
  const beside = path.join(path.dirname(file), 'taskfold_cuda.so')
  if (fs.existsSync(beside)) return beside
  try {
    return require.resolve(`@taskfold/cuda-${process.platform}-${process.arch}/taskfold_cuda.so`)
  } catch {
    return beside
  }
}

addon.setCudaLibrary(cudaLibrary())
module.exports = addon
