#!/usr/bin/env bash
# README's second command: sets everything up, then all tests: TypeScript, the real addon, and the C++ rooms under
# ASan and UBSan. The counts are left in build/test-counts for .ci/run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

logs=build/test-logs
mkdir -p "$logs"
rm -f build/test-counts "$logs"/*.txt

status=0
if [ "$(uname -s)" = Linux ]; then
  # The plug-in on the CPU, which tests of devices use.
  npm run --silent build:emulated </dev/null >"$logs/emulated.txt" 2>&1 || { cat "$logs/emulated.txt"; status=1; }
fi
echo "== ava"
npx --no-install ava </dev/null 2>&1 | tee "$logs/ava.txt" || status=1
echo "== native tests (ASan, UBSan)"
node scripts/native-tests.mjs </dev/null 2>&1 | tee "$logs/native.txt" || status=1

node scripts/test-counts.mjs "$status" "$logs/ava.txt" "$logs/native.txt" >build/test-counts
echo "tests: $(cat build/test-counts)"
exit "$status"
