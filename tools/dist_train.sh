#!/usr/bin/env bash
# Train in several processes, on the GPUs of one or several machines (or on CPU cores, over gloo):
#   tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=first tools/dist_train.sh CONFIG 8     the same with NODE_RANK=1 on the second one
#   NNODES=2 RDZV_ENDPOINT=first:29500 MAX_RESTARTS=3 tools/dist_train.sh CONFIG 8 --resume           the same on both
# GPUS is the number of processes on this machine. launch.sh explains the environment variables.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [arguments of tools/train.py]" >&2; exit 2; }
. "$(dirname "$0")/launch.sh"
config=$1 processes=$2
shift 2
launch "$processes" "$(dirname "$0")/train.py" "$config" "$@"
