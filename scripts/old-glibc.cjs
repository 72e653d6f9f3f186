// node scripts/old-glibc.cjs FOLDER: makes libraries to link prebuilds with, so that a binary built on a new Linux runs on
// glibc 2.28 as well, which Node 20 itself needs. glibc keeps old versions of a function for old programs, but linkers
// always take the newest: pthread_create as of 2.34 and not of 2.2.5, although nothing in it changed but its file. The
// libraries written here have the names of glibc's and hold nothing but the old versions, for the linker to find first; at
// run time the machine's own glibc is used. Which old versions there are is read off this machine's glibc. Prints the paths
// to link with, divided by semicolons; nothing where it does not apply.
'use strict'
const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const compiler = process.env.CC || 'cc'
/** GLIBC_2.3.4 → 3004, to compare: pthread_getaffinity_np has other arguments in 2.3.3 than in 2.3.4. */
function rank(version) {
  const [, minor, patch = 0] = /^GLIBC_2\.(\d+)(?:\.(\d+))?/.exec(version)
  return Number(minor) * 1000 + Number(patch)
}
const OLDEST = rank('GLIBC_2.28')

/** What came after 2.28 under these names; old programs had them inside of them. */
const ADDED = `#define _GNU_SOURCE
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define HIDDEN __attribute__((visibility("hidden")))
/* 64-bit Linux: the kernel's struct is the library's. */
HIDDEN int fstat(int file, struct stat *result) { return (int)syscall(SYS_fstat, file, result); }
HIDDEN int fstat64(int file, struct stat64 *result) { return (int)syscall(SYS_fstat, file, result); }
/* libstdc++'s random_device, which nothing here uses. */
HIDDEN unsigned arc4random(void) {
  unsigned value = 0;
  return syscall(SYS_getrandom, &value, sizeof value, 0) == sizeof value ? value : 4;
}
/* condition_variable::wait_for: on the wall clock, as libstdc++ had it before there was this one. */
HIDDEN int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                  const struct timespec *until) {
  struct timespec now, wall;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &wall);
  long long left = (until->tv_sec - now.tv_sec) * 1000000000LL + (until->tv_nsec - now.tv_nsec) + wall.tv_nsec;
  if (left < 0) left = 0;
  wall.tv_sec += left / 1000000000LL;
  wall.tv_nsec = left % 1000000000LL;
  return pthread_cond_timedwait(condition, mutex, &wall);
}
/* libstdc++ skips locks while it is true. */
HIDDEN char __libc_single_threaded = 0;
`

/** Where glibc 2.28 has a function that is in libc.so.6 today. */
function homeOf(name, library) {
  if (library === 'libm.so.6') return library
  if (/^(_*pthread|sem)_/.test(name)) return 'libpthread.so.0'
  if (/^dl/.test(name)) return 'libdl.so.2'
  if (/^(shm|timer|mq|aio|lio)_/.test(name)) return 'librt.so.1'
  return 'libc.so.6'
}

/** name → versions of a library's functions, as [version, is the default]. */
function versionsOf(library) {
  const file = execFileSync(compiler, [`-print-file-name=${library}`], { encoding: 'utf8' }).trim()
  const found = new Map()
  for (const line of execFileSync('objdump', ['-T', file], { encoding: 'utf8', maxBuffer: 1 << 26 }).split(
    '\n',
  )) {
    const match = /\si?D[FO]?\s+\.\S+\s+\S+\s+(\(?)(GLIBC_2\.[\d.]+)\)?\s+(\S+)$/.exec(line)
    if (!match) continue
    const [, hidden, version, name] = match
    found.set(name, [...(found.get(name) ?? []), { version, isDefault: hidden === '' }])
  }
  return found
}

/** library → version → names of what must be linked in an older version than the newest. */
function olderVersions() {
  const result = {}
  for (const library of ['libc.so.6', 'libm.so.6']) {
    for (const [name, versions] of versionsOf(library)) {
      // The machine's own libm.so.6 is not looked at any more once there is one of that name, so all of it is there.
      const changed = versions.some(({ version, isDefault }) => isDefault && rank(version) > OLDEST)
      if (!changed && library !== 'libm.so.6') continue
      const old = versions.map(({ version }) => version).filter((version) => rank(version) <= OLDEST)
      if (old.length === 0) continue
      old.sort((a, b) => rank(a) - rank(b))
      const home = homeOf(name, library)
      // A second libc.so.6 would keep the linker from versions of the first; what is left there is nothing we call.
      if (home === 'libc.so.6') continue
      result[home] ??= {}
      const version = old[old.length - 1]
      result[home][version] ??= []
      result[home][version].push(name)
    }
  }
  return result
}

function writeStub(folder, library, versions) {
  const stem = path.join(folder, library)
  const names = Object.values(versions).flat()
  fs.writeFileSync(
    `${stem}.s`,
    `.text\n${names.map((name) => `.globl ${name}\n.type ${name},@function\n${name}:\n`).join('')}.byte 0\n.section .note.GNU-stack,"",@progbits\n`,
  )
  const nodes = Object.entries(versions).map(([version, list]) => `${version} { ${list.join('; ')}; };\n`)
  fs.writeFileSync(`${stem}.map`, nodes.join(''))
  const flags = ['-shared', '-nostdlib', `-Wl,-soname,${library}`, `-Wl,--version-script,${stem}.map`]
  execFileSync(compiler, [...flags, `${stem}.s`, '-o', stem], { stdio: 'inherit' })
  return stem
}

/** Paths to link with, or none where it does not apply. */
function oldGlibc(folder) {
  const report = process.report?.getReport().header
  if (process.platform !== 'linux' || !report?.glibcVersionRuntime) return []
  fs.mkdirSync(folder, { recursive: true })
  const object = path.join(folder, 'added.o')
  fs.writeFileSync(path.join(folder, 'added.c'), ADDED)
  execFileSync(compiler, ['-O2', '-fPIC', '-c', path.join(folder, 'added.c'), '-o', object], {
    stdio: 'inherit',
  })
  const stubs = Object.entries(olderVersions()).map(([library, versions]) =>
    writeStub(folder, library, versions),
  )
  return [object, ...stubs]
}

module.exports = oldGlibc
if (require.main === module) console.log(oldGlibc(path.resolve(process.argv[2])).join(';'))
