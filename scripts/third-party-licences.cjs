// Run after prebuildify: the addon has OpenBLAS, Highway, xxHash and libstdc++ compiled in, the CUDA library NVIDIA's runtime
// and CUB, whose licences ask that their notices travel with every binary. Debian's packages and the CUDA toolkit carry
// them; they are gathered into prebuilds/<platform>/.
'use strict'
const fs = require('node:fs')
const path = require('node:path')

const PACKAGES = ['libopenblas-pthread-dev', 'libhwy-dev', 'libxxhash-dev', 'libstdc++6']
const folder = path.join(__dirname, '..', 'prebuilds', `${process.platform}-${process.arch}`)

/** The toolkit's licence: one file, or one a component where it was installed piece by piece. */
function cudaLicences() {
  const homes = [process.env.CUDA_PATH, process.env.CUDA_HOME, '/usr/local/cuda'].filter(Boolean)
  for (const home of homes) {
    const whole = path.join(home, 'EULA.txt')
    if (fs.existsSync(whole)) return [whole]
    const pieces = path.join(home, 'dist-info')
    if (!fs.existsSync(pieces)) continue
    const found = fs
      .readdirSync(pieces)
      .filter((name) => /^nvidia_cuda_(runtime|cccl)-/.test(name))
      .map((name) => path.join(pieces, name, 'licenses', 'License.txt'))
    if (found.length === 2 && found.every((file) => fs.existsSync(file))) return found
  }
  throw new Error(
    `the CUDA toolkit's licence was not found in ${homes.join(', ')}: add it to ${folder} by hand`,
  )
}

const texts = PACKAGES.map((name) => {
  const file = path.join('/usr/share/doc', name, 'copyright')
  if (!fs.existsSync(file)) {
    throw new Error(`${file} is not there: install ${name}, or add its licence to ${folder} by hand`)
  }
  return `==== ${name} ====\n\n${fs.readFileSync(file, 'utf8').trim()}\n`
})
if (fs.existsSync(path.join(folder, 'taskfold_cuda.so'))) {
  // The pieces have the same text as a rule.
  for (const text of new Set(cudaLicences().map((file) => fs.readFileSync(file, 'utf8').trim())))
    texts.push(`==== NVIDIA CUDA, in taskfold_cuda.so ====\n\n${text}\n`)
}
const target = path.join(folder, 'THIRD_PARTY_LICENSES.txt')
fs.writeFileSync(target, texts.join('\n'))
console.log(`written to ${path.relative(process.cwd(), target)}`)
