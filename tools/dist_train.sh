#!/usr/bin/env bash
# Train on several GPUs of this machine (or CPU processes, over gloo): tools/dist_train.sh CONFIG GPUS [train.py args]
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [arguments of tools/train.py]" >&2; exit 2; }
config=$1 processes=$2
shift 2
# With --standalone, torchrun chooses a free port, so that two runs on one machine do not collide.
exec python -m torch.distributed.run --standalone --nnodes=1 --nproc_per_node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "$@"
