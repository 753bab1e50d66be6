#!/usr/bin/env bash
# Sets up the environment (or reuses it), checks style and types, and runs the test suite, a process a core.
# Usage: run_tests.sh            everything
#        run_tests.sh --quick    style, and the tests of a minute: no slow ones, two cases of any other
#        run_tests.sh ARGUMENTS  the tests alone, with these arguments of pytest
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh
setup_env tests
# A thread a process: more would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MPLBACKEND=Agg
if [ $# = 0 ] || [ "$*" = --quick ]; then
    echo '== checking the style'
    python -m ruff check .
fi
if [ $# = 0 ]; then
    echo '== checking the types'
    python -m mypy
fi
echo '== running the tests'
exec python -m pytest --numprocesses auto --maxprocesses 8 --dist loadgroup --durations 10 "$@"
