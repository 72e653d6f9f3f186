#!/usr/bin/env bash
# Everything that the demo and the tests need, on a fresh Debian or Ubuntu with Node 20: system packages, npm packages,
# the build. Quick when there is nothing to do. Sourced by demo.sh and test.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

need_node() {
  if ! command -v node >/dev/null; then
    echo "setup: Node.js is missing; install Node 20.17 or newer (https://nodejs.org)" >&2
    return 1
  fi
  node -e '
    const [major, minor] = process.versions.node.split(".").map(Number)
    if (major > 20 || (major === 20 && minor >= 17)) process.exit(0)
    console.error(`setup: Node ${process.versions.node} is too old; install Node 20.17 or newer`)
    process.exit(1)'
}

# Debian package names of what is missing, on one line. ninja is only asked for when something else is.
missing_packages() {
  local missing=()
  command -v g++ >/dev/null || missing+=(g++)
  command -v cmake >/dev/null || missing+=(cmake)
  command -v make >/dev/null || command -v ninja >/dev/null || missing+=(make)
  local header package
  # openblas_config.h rather than cblas.h, which the slow reference BLAS brings too.
  for header in hwy/highway.h:libhwy-dev xxhash.h:libxxhash-dev openblas_config.h:libopenblas-dev; do
    package="${header#*:}"
    if ! echo "#include <${header%:*}>" | "${CXX:-c++}" -x c++ -std=c++20 -E - >/dev/null 2>&1; then
      missing+=("$package")
    fi
  done
  if [ "${#missing[@]}" -gt 0 ] && ! command -v ninja >/dev/null; then missing+=(ninja-build); fi
  echo "${missing[*]:-}"
}

install_packages() {
  local packages
  packages="$(missing_packages)"
  [ -n "$packages" ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  if ! command -v apt-get >/dev/null || { [ "${#as_root[@]}" -gt 0 ] && ! sudo -n true 2>/dev/null; }; then
    echo "setup: please install these first: $packages" >&2
    echo "setup: on Debian or Ubuntu: sudo apt-get install $packages" >&2
    return 1
  fi
  echo "setup: apt-get install $packages"
  "${as_root[@]}" apt-get update -qq </dev/null
  # Word splitting is wanted: one word a package.
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages </dev/null
}

install_npm_packages() {
  # Where nvcc is, the CUDA plug-in is built too: here for one GPU target, whose PTX newer GPUs translate at the first start.
  # All targets take minutes; they are for the published binaries.
  export TASKFOLD_CUDA_ARCHS="${TASKFOLD_CUDA_ARCHS:-80}"
  # Without its download step onnxruntime-node has the CPU provider, all that is needed here.
  export ONNXRUNTIME_NODE_INSTALL=skip
  local stamp=node_modules/.taskfold-setup now
  now="$(node -e '
    const lock = require("node:fs").readFileSync("package-lock.json")
    const hash = require("node:crypto").createHash("sha256").update(lock).digest("hex")
    console.log(hash, process.platform, process.arch, process.versions.modules)')"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then return 0; fi
  echo "setup: npm ci"
  npm ci --no-audit --no-fund </dev/null
  echo "$now" >"$stamp"
}

need_node
install_packages
install_npm_packages
echo "setup: npm run build"
npm run --silent build </dev/null
