// node scripts/check-prebuilds.mjs [FOLDER]: what the prebuilt binaries of prebuilds/ ask of the system: fails when one needs
// a newer glibc than is promised, or a C++ library (prebuilds bring theirs, see scripts/old-glibc.cjs). Reads the ELF
// files' dynamic symbols with binutils' objdump; prints what each needs, and the sizes.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import path from 'node:path'

/** What Node 20 needs too, so that the addon is never the reason why it does not run. */
const NEWEST_GLIBC = '2.28'
/** The driver is opened at run time: a binary that is linked with it would not load without. */
const ALLOWED = /^(libc|libm|libgcc_s|libpthread|libdl|librt|ld-linux[\w-]*)\.so(\.\d+)*$/

const folder = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, '..', 'prebuilds'))

/** 2.3.4 → 2003004, to compare. */
function rank(version) {
  const [major = 0, minor = 0, patch = 0] = version.split('.').map(Number)
  return (major * 1000 + minor) * 1000 + patch
}

/** Newest version of a kind that a file needs, or undefined. */
function newest(symbols, kind) {
  const versions = [...symbols.matchAll(new RegExp(`\\*UND\\*.*\\b${kind}_([\\d.]+)`, 'g'))].map(
    ([, version]) => version,
  )
  return versions.sort((a, b) => rank(a) - rank(b)).at(-1)
}

function problemsOf(file) {
  const objdump = (flag) => execFileSync('objdump', [flag, file], { encoding: 'utf8', maxBuffer: 1 << 26 })
  const symbols = objdump('-T')
  const needed = [...objdump('-p').matchAll(/NEEDED\s+(\S+)/g)].map(([, name]) => name)
  const glibc = newest(symbols, 'GLIBC')
  const name = path.relative(folder, file)
  const size = (statSync(file).size / 1e6).toFixed(1)
  console.log(`${name}: ${size} MB, glibc ${glibc ?? 'any'}, needs ${needed.join(', ')}`)
  const problems = []
  // Node's own functions and weak ones have no version; glibc's must, or the oldest version of each would be taken.
  const bare = [...symbols.matchAll(/^\S+\s+D[ FO]?\s+\*UND\*\s+\S+\s+(?:Base\s+)?([a-z_]\w*)$/gm)].map(
    ([, symbol]) => symbol,
  )
  const unversioned = bare.filter((symbol) => !/^(napi|node)_/.test(symbol))
  if (unversioned.length > 0) problems.push(`${name}: no version of ${unversioned.slice(0, 5).join(', ')}`)
  if (glibc && rank(glibc) > rank(NEWEST_GLIBC))
    problems.push(`${name} needs glibc ${glibc}, promised is ${NEWEST_GLIBC}`)
  if (newest(symbols, 'GLIBCXX')) problems.push(`${name} needs the system's libstdc++`)
  for (const library of needed.filter((other) => !ALLOWED.test(other)))
    problems.push(`${name} needs ${library}`)
  return problems
}

const files = existsSync(folder)
  ? readdirSync(folder, { recursive: true })
      .filter((name) => /^linux-.*\.(node|so)$/.test(name))
      .map((name) => path.join(folder, name))
  : []
const problems = files.flatMap(problemsOf)
if (process.platform === 'linux' && files.length === 0) problems.push(`${folder} has no binary for Linux`)
for (const problem of problems) console.error(`check-prebuilds: ${problem}`)
process.exitCode = problems.length === 0 ? 0 : 1
