import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'ava'

const script = path.join(import.meta.dirname, '..', '..', '..', 'scripts', 'check-imports.mjs')

/** Runs the check over a tree of the given files. */
function check(files: Record<string, string>): { status: number | null; text: string } {
  const root = mkdtempSync(path.join(tmpdir(), 'taskfold-imports-'))
  try {
    for (const folder of ['lib', 'native', 'cuda']) mkdirSync(path.join(root, folder))
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
      writeFileSync(path.join(root, name), text)
    }
    const result = spawnSync(process.execPath, [script, root], { encoding: 'utf8' })
    return { status: result.status, text: result.stdout + result.stderr }
  } finally {
    rmSync(root, { recursive: true })
  }
}

const ALLOWED: Record<string, string> = {
  'lib/index.ts': "export { fold } from './fold/fold.js'\n",
  'lib/fold/fold.ts': "import {\n  a,\n  b,\n} from '../pack/manifest.js'\nimport test from 'node:fs'\n",
  'lib/io/progress.ts': "import type { NativeFile } from '../binding/binding-types.js'\n",
  'lib/binding/load-binding.ts': "import addon from '#native'\n",
  'native/ops/a.cpp': '#include "ops/a.h"\n#include "backend/backend.h"\n#include <vector>\n',
  'native/addon/a.cpp': '#include <napi.h>\n#include "ops/a.h"\n',
  'native/cpu/a.cpp': '#include <hwy/highway.h>\n#include "core/dtype.h"\n',
  'native/backend/registry.cpp': '#include "cpu/cpu_backend.h"\n',
  'native/backend/cuda_library.h': '#include "taskfold_cuda.h"\n',
  'cuda/a.cu': '#include <cuda_runtime.h>\n#include "check.h"\n#include "core/block_scatter.h"\n',
}

test('a tree that follows the rules passes', (t) => {
  const { status, text } = check(ALLOWED)
  t.is(status, 0, text)
})

const FORBIDDEN: [file: string, text: string, message: RegExp][] = [
  [
    'lib/pack/a.ts',
    "import { fold } from '../fold/fold.js'\n",
    /lib\/pack\/a\.ts:1: lib\/pack must not import lib\/fold/,
  ],
  [
    'lib/errors/a.ts',
    "\nimport { x } from '../io/progress.js'\n",
    /lib\/errors\/a\.ts:2: .*allowed: nothing/,
  ],
  ['lib/materialize/a.ts', "export * from '../fold/fold.js'\n", /lib\/materialize must not import lib\/fold/],
  [
    'lib/io/a.ts',
    "import { x } from '../binding/binding-types.js'\n",
    /lib\/io must not import lib\/binding/,
  ],
  ['lib/io/b.ts', "const m = await import('../fold/fold.js')\n", /lib\/io must not import lib\/fold/],
  ['lib/fold/a.ts', "import addon from '#native'\n", /only lib\/binding may import #native/],
  ['lib/fold/b.ts', "import { x } from './fold'\n", /needs its \.js suffix/],
  ['lib/fold/c.ts', "import { x } from '../../test/helpers/x.js'\n", /leaves lib\//],
  ['lib/novel/a.ts', '', /unknown room lib\/novel/],
  ['lib/fold/long.ts', '\n'.repeat(400), /401 lines: split it/],
  ['native/core/a.h', '#include "ops/a.h"\n', /core must not include ops\/a\.h; allowed: nothing/],
  ['native/ops/b.cpp', '#include "cpu/cpu_backend.h"\n', /ops must not include cpu\/cpu_backend\.h/],
  ['native/ops/c.cpp', '#include <napi.h>\n', /<napi\.h> may be seen only by addon/],
  ['native/ops/d.cpp', '#include "taskfold_cuda.h"\n', /only native\/backend\/cuda_library\.h/],
  ['native/cpu/b.cpp', '#include <cuda_runtime.h>\n', /may be seen only by cuda/],
  ['cuda/b.cu', '#include "ops/a.h"\n', /cuda must not include ops\/a\.h/],
]

for (const [file, source, message] of FORBIDDEN) {
  test(`refused: ${file} with ${JSON.stringify(source.slice(0, 60))}`, (t) => {
    const { status, text } = check({ ...ALLOWED, [file]: source })
    t.is(status, 1)
    t.regex(text, message)
    t.regex(text, /check-imports: 1 problems/)
  })
}
