#!/usr/bin/env bash
#SBATCH --job-name=mmskelssl
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
# Train under Slurm, with restarts: one torchrun per node, which starts its processes again when one has died.
#   sbatch --nodes=2 --gres=gpu:8 --cpus-per-task=32 tools/sbatch_train.sh CONFIG GPUS_PER_NODE [arguments of tools/train.py]
# Run it in the checkout. The first node of the job is the meeting point. The run resumes from its last checkpoint, also
# when Slurm starts the job again after a node has failed. MAX_RESTARTS is 3 by default.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: sbatch $0 CONFIG GPUS_PER_NODE [arguments of tools/train.py]" >&2; exit 2; }
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export NNODES=$SLURM_JOB_NUM_NODES RDZV_ID=$SLURM_JOB_ID MAX_RESTARTS=${MAX_RESTARTS:-3}
export RDZV_ENDPOINT=${RDZV_ENDPOINT:-$first:$((20000 + SLURM_JOB_ID % 20000))}
exec srun --kill-on-bad-exit=1 bash tools/dist_train.sh "$@" --resume
