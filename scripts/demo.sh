#!/usr/bin/env bash
# README's first command: sets everything up, folds the example family and compares every task's accuracy with the
# reference. Options go to examples/demo.mjs.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec node examples/demo.mjs "$@"
