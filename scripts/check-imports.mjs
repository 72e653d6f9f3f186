// Enforces docs/ARCHITECTURE.md, "Rooms and imports": each room may import only the rooms listed for it, one public
// binding to CUDA and one to Node-API. Also flags files that grew too long.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

// Another tree may be given as the first argument.
const root = path.resolve(process.argv[2] ?? path.join(import.meta.dirname, '..'))
const MOST_LINES = 400

/** Room of lib/ → rooms that it may import besides itself. `.` are the entry points lib/*.ts. */
const LIB_ROOMS = {
  errors: [],
  io: ['errors'],
  binding: ['errors', 'io'],
  checkpoint: ['errors', 'io', 'binding'],
  merge: ['errors', 'io', 'binding', 'checkpoint'],
  pack: ['errors', 'io', 'binding', 'checkpoint'],
  lora: ['errors', 'io', 'binding', 'checkpoint'],
  fold: ['errors', 'io', 'binding', 'checkpoint', 'merge', 'pack', 'lora'],
  materialize: ['errors', 'io', 'binding', 'checkpoint', 'merge', 'pack', 'lora'],
  report: ['errors', 'io', 'binding', 'checkpoint', 'merge', 'pack', 'lora', 'materialize'],
  kernels: ['errors', 'io', 'binding', 'checkpoint', 'merge'],
  cli: [
    'errors',
    'io',
    'binding',
    'checkpoint',
    'merge',
    'pack',
    'lora',
    'materialize',
    'report',
    'fold',
    '.',
  ],
  '.': [
    ...['errors', 'io', 'binding', 'checkpoint', 'merge', 'pack', 'lora', 'materialize', 'report', 'fold'],
    'kernels',
  ],
}

/** Room of the native code → rooms that it may include besides itself. */
const NATIVE_ROOMS = {
  core: [],
  backend: ['core'],
  cpu: ['core', 'backend'],
  linalg: ['core'],
  device: ['core', 'backend'],
  ops: ['core', 'backend', 'linalg', 'device'],
  addon: ['core', 'backend', 'device', 'ops'],
  cuda: ['core', 'backend'],
}
/** System header → the only rooms that may see it. */
const GUARDED_HEADERS = [
  { pattern: /^(napi|node_api|js_native_api)/, rooms: ['addon'] },
  { pattern: /^(cuda|cub\/|thrust\/|cooperative_groups)/, rooms: ['cuda'] },
  { pattern: /^hwy\//, rooms: ['cpu'] },
  { pattern: /^(cblas|lapacke?|f77blas|openblas_config|Accelerate\/)/, rooms: ['linalg'] },
]
/** The one place that names the backends, and the C interface that the loader opens. */
const NATIVE_EXCEPTIONS = new Set([
  'native/backend/registry.cpp → cpu/cpu_backend.h',
  'native/backend/cuda_library.h → taskfold_cuda.h',
  'native/backend/cuda_library.h → taskfold_cuda_kernels.h',
  'native/backend/cuda_library.h → taskfold_cuda_linalg.h',
])

const problems = []
const problem = (file, line, text) => problems.push(`${file}${line ? `:${line}` : ''}: ${text}`)

function filesOf(folder, extensions) {
  return readdirSync(path.join(root, folder), { recursive: true })
    .map((name) => path.posix.join(folder, name.split(path.sep).join('/')))
    .filter((name) => extensions.test(name))
    .sort()
}

const lineOf = (text, index) => text.slice(0, index).split('\n').length

/** Imports and re-exports of a TypeScript file: [specifier, type only, line]. */
function importsOf(text) {
  const found = []
  const statement = /^[ \t]*(?:import|export)\s+(type\s)?(?:[^'"`;]*?\sfrom\s*)?['"]([^'"]+)['"]/gm
  const dynamic = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g
  for (const match of text.matchAll(statement))
    found.push([match[2], Boolean(match[1]), lineOf(text, match.index)])
  for (const match of text.matchAll(dynamic)) found.push([match[1], false, lineOf(text, match.index)])
  return found
}

function libRoom(file) {
  const parts = file.split('/')
  return parts.length === 2 ? '.' : parts[1]
}

function checkLib(file, text) {
  const room = libRoom(file)
  const allowed = LIB_ROOMS[room]
  if (!allowed)
    return problem(
      file,
      0,
      `unknown room lib/${room}: add it to scripts/check-imports.mjs and docs/ARCHITECTURE.md`,
    )
  for (const [specifier, typeOnly, line] of importsOf(text)) {
    if (specifier === '#native') {
      if (room !== 'binding') problem(file, line, 'only lib/binding may import #native')
      continue
    }
    if (!specifier.startsWith('.')) continue
    if (!/\.(js|cjs)$/.test(specifier)) problem(file, line, `${specifier} needs its .js suffix`)
    const target = path.posix.normalize(path.posix.join(path.posix.dirname(file), specifier))
    if (!target.startsWith('lib/')) {
      problem(file, line, `${specifier} leaves lib/`)
      continue
    }
    if (typeOnly && target === 'lib/binding/binding-types.js') continue
    const targetRoom = libRoom(target)
    if (targetRoom !== room && !allowed.includes(targetRoom)) {
      problem(
        file,
        line,
        `lib/${room} must not import lib/${targetRoom} (${specifier}); allowed: ${allowed.join(', ') || 'nothing'}`,
      )
    }
  }
}

function checkNative(file, text) {
  const parts = file.split('/')
  const room = parts[0] === 'cuda' ? 'cuda' : parts[1]
  const allowed = NATIVE_ROOMS[room]
  if (!allowed)
    return problem(
      file,
      0,
      `unknown room native/${room}: add it to scripts/check-imports.mjs and docs/ARCHITECTURE.md`,
    )
  for (const match of text.matchAll(/^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]/gm)) {
    const [, bracket, header] = match
    const line = lineOf(text, match.index)
    const guard = GUARDED_HEADERS.find(({ pattern }) => pattern.test(header))
    if (guard && !guard.rooms.includes(room)) {
      problem(file, line, `<${header}> may be seen only by ${guard.rooms.join(', ')}`)
    }
    if (guard || bracket === '<' || NATIVE_EXCEPTIONS.has(`${file} → ${header}`)) continue
    if (header.split('/').includes('..')) problem(file, line, `"${header}": write it as room/file.h`)
    const targetRoom = header.includes('/') ? header.split('/')[0] : room
    if (room !== 'cuda' && /^taskfold_cuda/.test(header))
      problem(file, line, 'only native/backend/cuda_library.h may include it')
    if (targetRoom !== room && !allowed.includes(targetRoom)) {
      problem(file, line, `${room} must not include ${header}; allowed: ${allowed.join(', ') || 'nothing'}`)
    }
  }
}

const lib = filesOf('lib', /\.(ts|cts|cjs)$/)
const native = [...filesOf('native', /\.(h|cpp)$/), ...filesOf('cuda', /\.(h|cu|cuh|cpp)$/)]
for (const file of [...lib, ...native]) {
  const text = readFileSync(path.join(root, file), 'utf8')
  const lines = text.split('\n').length
  if (lines > MOST_LINES) problem(file, 0, `${lines} lines: split it, ${MOST_LINES} is the limit`)
  if (file.startsWith('lib/')) checkLib(file, text)
  else checkNative(file, text)
}

if (problems.length > 0) {
  console.error(problems.join('\n'))
  console.error(`check-imports: ${problems.length} problems (docs/ARCHITECTURE.md, "Rooms and imports")`)
  process.exit(1)
}
console.log(`check-imports: ${lib.length + native.length} files follow docs/ARCHITECTURE.md`)
