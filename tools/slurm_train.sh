#!/usr/bin/env bash
# Train under Slurm, on one or several nodes: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=4] [SRUN_ARGS=...] \
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
# GPUS counts those of all nodes: GPUS=16 uses two nodes of eight.
set -euo pipefail
variables="[GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=4] [SRUN_ARGS=...]"
[ $# -ge 4 ] || {
    echo "usage: $variables $0 PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]" >&2
    exit 2
}
. "$(dirname "$0")/slurm_run.sh"
partition=$1 job=$2 config=$3 work_dir=$4
shift 4
run_tasks "$partition" "$job" "$(dirname "$0")/train.py" "$config" --work-dir "$work_dir" "$@"
