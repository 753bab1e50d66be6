#!/usr/bin/env bash
# Measure a checkpoint in several processes, which share the clips and the probes. The results are those of one process.
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# Several machines work as for dist_train.sh. The first process writes the results.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 CONFIG CHECKPOINT GPUS [arguments of tools/test.py]" >&2; exit 2; }
. "$(dirname "$0")/launch.sh"
config=$1 checkpoint=$2 processes=$3
shift 3
launch "$processes" "$(dirname "$0")/test.py" "$config" "$checkpoint" "$@"
