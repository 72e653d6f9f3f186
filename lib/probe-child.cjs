'use strict'
// Starts CUDA in a process of its own, for lib/binding/probe-cuda.ts: a broken driver can end a process. Prints what was
// found as one marked line, because drivers print things as well.
const fs = require('node:fs')

const found = require('./native.cjs').probeCuda(true)
fs.writeSync(1, `\ntaskfold-probe ${JSON.stringify(found)}\n`)
