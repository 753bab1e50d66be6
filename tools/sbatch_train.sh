#!/usr/bin/env bash
#SBATCH --job-name=mmskelssl
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
# Train under Slurm, with restarts: one torchrun per node, which starts its processes again when one has died.
#   sbatch --nodes=2 --gres=gpu:8 --cpus-per-task=32 tools/sbatch_train.sh CONFIG GPUS_PER_NODE [arguments of tools/train.py]
# Run it in the checkout. The first node of the job is the meeting point. The run resumes from its last checkpoint, also
# when Slurm starts the job again after a node has failed or the job was preempted; the output is then continued in the
# same file. MAX_RESTARTS is 3 by default.
set -euo pipefail
# $0 is Slurm's copy of this script.
usage="usage: sbatch [--nodes=2] [--gres=gpu:8] tools/sbatch_train.sh CONFIG GPUS_PER_NODE [arguments of tools/train.py]"
[ $# -ge 2 ] || { echo "$usage" >&2; exit 2; }
[ -n "${SLURM_JOB_NODELIST:-}" ] || { echo "error: this script is a job of Slurm: start it with sbatch" >&2; exit 2; }
[ -f tools/dist_train.sh ] || { echo "error: $PWD has no tools/dist_train.sh: call sbatch in the checkout" >&2; exit 2; }
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export NNODES=$SLURM_JOB_NUM_NODES RDZV_ID=$SLURM_JOB_ID MAX_RESTARTS=${MAX_RESTARTS:-3}
export RDZV_ENDPOINT=${RDZV_ENDPOINT:-$first:$((20000 + SLURM_JOB_ID % 20000))}
# Since version 22.05 srun does not take --cpus-per-task from sbatch, and may bind torchrun and its processes to one CPU.
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=${SRUN_CPUS_PER_TASK:-$SLURM_CPUS_PER_TASK}
exec srun --kill-on-bad-exit=1 bash tools/dist_train.sh "$@" --resume
