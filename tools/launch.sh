# Starts the processes of this machine with torchrun. Sourced by dist_train.sh and dist_test.sh.
# Usage: launch PROCESSES SCRIPT [ARGUMENTS]. It reads these environment variables:
#   NNODES=1         number of machines. Run the same command on each of them.
#   NODE_RANK=0      number of this machine
#   MASTER_ADDR, MASTER_PORT   address of machine 0, and a free port there (29500; PORT has the same meaning)
#   RDZV_ENDPOINT    HOST:PORT of one of the machines, instead of NODE_RANK, MASTER_ADDR and MASTER_PORT. The machines
#                    then join in any order, and may join again after a restart. NNODES may be a range, such as 2:4.
#   RDZV_ID          name of the run, if several use the same endpoint
#   MAX_RESTARTS=0   how often the processes are started again after one of them has died

launch() {
    local processes=$1 nodes=${NNODES:-1}
    shift
    [[ $processes =~ ^[1-9][0-9]*$ ]] || {
        echo "error: GPUS is '$processes': give the number of processes on this machine" >&2
        exit 2
    }
    local where
    if [ -n "${RDZV_ENDPOINT:-}" ]; then
        # With a shared store, a machine that replaces another one would wait in vain for the address of the store, which
        # the others publish only when they first meet (torch 2.13).
        export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=${TORCH_DISABLE_SHARE_RDZV_TCP_STORE:-1}
        where=(--nnodes="$nodes" --rdzv-backend=c10d --rdzv-endpoint="$RDZV_ENDPOINT" --rdzv-id="${RDZV_ID:-mmskelssl}")
    elif [ "$nodes" = 1 ]; then
        # torchrun chooses a free port, so that two runs on one machine do not collide.
        where=(--standalone --nnodes=1)
    else
        [ -n "${NODE_RANK:-}" ] && [ -n "${MASTER_ADDR:-}" ] || {
            echo "error: NNODES=$nodes needs NODE_RANK and MASTER_ADDR, or RDZV_ENDPOINT" >&2
            exit 2
        }
        where=(--nnodes="$nodes" --node-rank="$NODE_RANK" --master-addr="$MASTER_ADDR"
               --master-port="${MASTER_PORT:-${PORT:-29500}}")
    fi
    # Slurm's warning of the end (--signal=USR1@120) may reach torchrun only, which passes it on if told to. torch
    # 2.6 ignores this variable.
    export PET_SIGNALS_TO_HANDLE=${PET_SIGNALS_TO_HANDLE:-SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1}
    exec python -m torch.distributed.run "${where[@]}" --nproc-per-node="$processes" \
        --max-restarts="${MAX_RESTARTS:-0}" "$@" --launcher pytorch
}
