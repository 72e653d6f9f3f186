// Run after prebuildify: the addon has OpenBLAS, Highway and xxHash compiled in, whose licences ask that their notices
// travel with every binary. Debian's packages carry them; they are gathered into prebuilds/<platform>/.
'use strict'
const fs = require('node:fs')
const path = require('node:path')

const PACKAGES = ['libopenblas-pthread-dev', 'libhwy-dev', 'libxxhash-dev']
const folder = path.join(__dirname, '..', 'prebuilds', `${process.platform}-${process.arch}`)

const texts = PACKAGES.map((name) => {
  const file = path.join('/usr/share/doc', name, 'copyright')
  if (!fs.existsSync(file)) {
    throw new Error(`${file} is not there: install ${name}, or add its licence to ${folder} by hand`)
  }
  return `==== ${name} ====\n\n${fs.readFileSync(file, 'utf8').trim()}\n`
})
const target = path.join(folder, 'THIRD_PARTY_LICENSES.txt')
fs.writeFileSync(target, texts.join('\n'))
console.log(`written to ${path.relative(process.cwd(), target)}`)
