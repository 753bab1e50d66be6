#!/usr/bin/env bash
# Sets up or reuses the environment, checks style and types, and runs the test suite with one process per core.
# Usage: run_tests.sh            everything
#        run_tests.sh --quick    style, and about a minute of tests: a few of each file, none that is slow
#        run_tests.sh ARGUMENTS  only the tests, with these arguments for pytest
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh
setup_env tests
# One thread per process: more threads would wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} MPLBACKEND=Agg
# Many processes import the same files, which are compiled once if bytecode may be written.
unset PYTHONDONTWRITEBYTECODE
if [ $# = 0 ] || [ "$*" = --quick ]; then
    echo '== checking the style'
    python -m ruff check .
fi
if [ $# = 0 ]; then
    echo '== checking the types'
    # Meanwhile, another core compiles the tests, which otherwise every process would do for itself.
    python -m pytest --collect-only -q >/dev/null 2>&1 &
    python -m mypy
    wait $! || true  # the tests report what cannot be collected
fi
echo '== running the tests'
exec python -m pytest --numprocesses auto --maxprocesses 8 --dist loadgroup --durations 10 "$@"
