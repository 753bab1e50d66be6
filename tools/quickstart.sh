#!/usr/bin/env bash
# Sets up the environment, and then runs quickstart.py: it creates the embedded data set, pre-trains an encoder on it,
# compares the encoder with an untrained one, draws pictures, and writes a page about it. It takes less than five minutes
# on two CPU cores after installation. Run it again to continue where it stopped. Arguments are passed to
# tools/train.py. WORK_DIR and DATA_DIR change the output folders.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/setup_env.sh
setup_env tests
export MPLBACKEND=Agg
exec python tools/quickstart.py "$@"
