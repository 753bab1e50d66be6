#!/usr/bin/env bash
# Sets up the environment (or reuses it) and runs the whole test suite; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh
setup_env tests
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} MPLBACKEND=Agg
echo '== running the tests'
exec python -m pytest "$@"
