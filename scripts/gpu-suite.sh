#!/usr/bin/env bash
# Everything that needs a GPU, on a bare machine that has one: nvcc, cmake, Python 3 with torch; no Node, no registry.
# Builds the plug-in for the GPU at hand, compares every kernel with references in numpy and torch, runs compute-sanitizer
# over a smaller round, then the benches. In under 8 minutes. Results go to $OUT, or to bench/results without it:
# gpu-<device>-<date>.json and a summary as text. Ends with exit code 1 when anything but the speed was not as it should be.
#
#   bash scripts/gpu-suite.sh               all of it
#   bash scripts/gpu-suite.sh --quick       build and parity only
#   bash scripts/gpu-suite.sh --dry         without a GPU: builds with nvcc if it is there, loads the plug-in, checks that
#                                           it answers "no device", and runs the parity tests against the emulated
#                                           plug-in (built here, or TASKFOLD_EMULATED_LIBRARY) when Python has numpy
#
# PYTHON names another python3. Each stage has a time limit, and its failure does not stop the ones behind it.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode="${1:-}"
python="${PYTHON:-python3}"
out="${OUT:-bench/results}"
build=build/gpu-suite
logs="$build/logs"
mkdir -p "$out" "$logs"
rm -f "$logs"/*
export PATH="$PATH:${CUDA_HOME:-/usr/local/cuda}/bin" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
failures=()

# stage NAME SECONDS COMMAND…: what it prints goes to the terminal and to a log.
stage() {
  local name="$1" limit="$2" start=$SECONDS status=0
  shift 2
  echo "== $name"
  timeout -k 10 "$limit" "$@" </dev/null 2>&1 | tee "$logs/$name.log"
  status=${PIPESTATUS[0]}
  # Under some sandboxes compute-sanitizer cannot work at all, which says nothing about the kernels.
  if [ "$status" -ne 0 ] && grep -q 'Device not supported' "$logs/$name.log"; then
    echo "== $name: not possible here"
    return
  fi
  echo "$name $status $((SECONDS - start))" >>"$logs/stages"
  if [ "$status" -eq 0 ]; then
    echo "== $name: ok, $((SECONDS - start)) s"
  else
    [ "$status" -ne 124 ] || echo "more than $limit s"
    echo "== $name: FAILED ($status), $((SECONDS - start)) s"
    failures+=("$name")
  fi
}

architecture() {
  local found
  found="$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -1 | tr -d '. ')"
  if [ -z "$found" ]; then
    found="$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())' 2>/dev/null)"
  fi
  echo "${found:-90}"
}

build_plugin() {
  local generator=(-G Ninja)
  command -v ninja >/dev/null || generator=(-G 'Unix Makefiles')
  cmake -S cuda -B "$build/plugin" "${generator[@]}" "-DTASKFOLD_CUDA_ARCHS=$1-real" \
    -DTASKFOLD_CUDA_LINEINFO=ON >"$logs/configure.log" 2>&1 || { cat "$logs/configure.log"; return 1; }
  cmake --build "$build/plugin" --parallel "$(nproc)"
}
export -f build_plugin
export build logs

build_emulated() {
  cmake -S . -B "$build/emulated" -DTASKFOLD_EMULATED=ON -DTASKFOLD_CUDA=OFF >"$logs/configure-emulated.log" 2>&1 ||
    { tail -20 "$logs/configure-emulated.log"; return 1; }
  cmake --build "$build/emulated" --parallel "$(nproc)" --target taskfold_cuda_emulated
}
export -f build_emulated

# The parity tests; further arguments are VARIABLE=value.
parity() {
  local name="$1"
  shift
  stage "$name" "$1" env "${@:2}" "$python" test/gpu/run_tests.py --json "$PWD/$logs/$name.json"
}

# A smaller round under compute-sanitizer, with the plug-in's own memory: there it knows where an allocation ends.
sanitize() {
  local tool="$1"
  shift
  stage "$tool" 110 env TASKFOLD_TEST_MEMORY=plugin TASKFOLD_TEST_SIZE=small compute-sanitizer --tool "$tool" \
    --error-exitcode 7 --target-processes application-only "$python" test/gpu/run_tests.py --json "$PWD/$logs/$tool.json" "$@"
}

report() {
  "$python" bench/gpu/report.py "$logs" "$out" || failures+=(report)
  if [ "${#failures[@]}" -gt 0 ]; then
    printf 'gpu-suite: failed: %s\n' "${failures[@]}"
    exit 1
  fi
  echo "gpu-suite: all stages passed in $SECONDS s"
  exit 0
}

if [ "$mode" = --dry ]; then
  if command -v nvcc >/dev/null; then
    stage build 900 bash -c 'build_plugin 90'
    stage no-device 60 "$python" test/gpu/no_device.py "$build/plugin/taskfold_cuda.so"
  else
    echo "no nvcc here: the plug-in was not built"
  fi
  if "$python" -c 'import numpy' 2>/dev/null; then
    [ -n "${TASKFOLD_EMULATED_LIBRARY:-}" ] || stage build-emulated 600 bash -c build_emulated
    export TASKFOLD_CUDA_LIBRARY="${TASKFOLD_EMULATED_LIBRARY:-$PWD/$build/emulated/emulated/taskfold_cuda.so}"
    export TASKFOLD_EMULATED_MEMORY=4000000000 TASKFOLD_TEST_MEMORY=plugin
    for order in 0 1 2; do
      parity "emulated-$order" 900 TASKFOLD_EMULATED_ORDER=$order
    done
  else
    echo "$python has no numpy: the parity tests were not run against the emulated plug-in"
  fi
  report
fi

arch="$(architecture)"
echo "gpu-suite: sm_$arch, $(nproc) CPU threads, $(nvcc --version | tail -1)"
stage build 150 bash -c "build_plugin $arch"
export TASKFOLD_CUDA_LIBRARY="$PWD/$build/plugin/taskfold_cuda.so"
parity parity 170 TASKFOLD_TEST_SIZE=big
if [ "$mode" != --quick ]; then
  stage bench 150 "$python" bench/gpu/bench.py --json "$PWD/$logs/bench.json"
  if command -v compute-sanitizer >/dev/null; then
    sanitize memcheck
    sanitize racecheck test_convert test_digest test_merge test_select test_scatter test_linalg
  else
    echo "no compute-sanitizer here"
  fi
fi
report
