// Folds random families for as long as asked and compares every byte with the reference. Not a part of CI.
//   node scripts/soak.mjs [--seed 1] [--minutes 60] [--tensors 30]
// A difference prints its seed; `--seed N --minutes 0` runs that one family again.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { register } from 'tsx/esm/api'

register()
const { checkFamily } = await import('../test/property/check-family.ts')
const { familyCase } = await import('../test/property/random-settings.ts')
const { native } = await import('../test/kernels/addon.ts')

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '60' },
    tensors: { type: 'string', default: '30' },
  },
})
const first = Number(values.seed)
const end = Date.now() + Number(values.minutes) * 60_000
const targets = native.devices().cpu.simdAvailable
let failed = 0
let seed = first
do {
  const { family, settings, label } = familyCase(seed, Number(values.tensors))
  native.setSimdTarget(targets[seed % targets.length])
  const folder = mkdtempSync(join(tmpdir(), 'taskfold-soak-'))
  let problems
  try {
    problems = await checkFamily(folder, family, settings)
  } catch (error) {
    problems = [String(error?.stack ?? error)]
  }
  rmSync(folder, { recursive: true, force: true })
  if (problems.length > 0) {
    failed++
    console.log(`${label}, ${targets[seed % targets.length]}\n  ${problems.slice(0, 10).join('\n  ')}`)
  }
  seed++
} while (Date.now() < end)
console.log(`${seed - first} families from seed ${first}, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0
