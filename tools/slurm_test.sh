#!/usr/bin/env bash
# Measure a checkpoint under Slurm, on one or several nodes: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=4] [SRUN_ARGS=...] \
#   tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]
set -euo pipefail
variables="[GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=4] [SRUN_ARGS=...]"
[ $# -ge 4 ] || {
    echo "usage: $variables $0 PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test.py]" >&2
    exit 2
}
. "$(dirname "$0")/slurm_run.sh"
partition=$1 job=$2 config=$3 checkpoint=$4
shift 4
run_tasks "$partition" "$job" "$(dirname "$0")/test.py" "$config" "$checkpoint" "$@"
