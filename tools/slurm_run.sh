# Starts one process per GPU with srun. Sourced by slurm_train.sh and slurm_test.sh.
# Usage: run_tasks PARTITION JOB_NAME SCRIPT [ARGUMENTS]. It reads these environment variables:
#   GPUS=8            number of processes, on all nodes together
#   GPUS_PER_NODE=8   the number of nodes is GPUS / GPUS_PER_NODE
#   CPUS_PER_TASK=4
#   SRUN_ARGS         more options of srun. The last one counts: --gres=none for nodes without GPUs, --gres=gpu:a100:8

run_tasks() {
    local number partition=$1 job=$2 gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
    shift 2
    for number in "$gpus" "$per_node"; do
        [[ $number =~ ^[1-9][0-9]*$ ]] || {
            echo "error: GPUS=$gpus and GPUS_PER_NODE=$per_node must be positive numbers" >&2
            exit 2
        }
    done
    [ "$gpus" -lt "$per_node" ] && per_node=$gpus
    [ $((gpus % per_node)) = 0 ] || { echo "error: GPUS=$gpus is not a multiple of GPUS_PER_NODE=$per_node" >&2; exit 2; }
    # shellcheck disable=SC2086
    exec srun -p "$partition" --job-name="$job" --nodes=$((gpus / per_node)) --gres=gpu:"$per_node" --ntasks="$gpus" \
        --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-4}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        python -u "$@" --launcher slurm
}
