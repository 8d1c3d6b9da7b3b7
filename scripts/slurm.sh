#!/usr/bin/env bash
# A main on the nodes of a SLURM job, from the root of the repository:
#
#   sbatch --nodes 2 --gpus-per-node 4 --cpus-per-task 24 --time 12:00:00 scripts/slurm.sh main_pretrain.py --dataset ntu60_xsub --output_dir output/pretrain
#
# --cpus-per-task: cores of a node, 6 for each GPU; without it many clusters give one core to all of a node's processes.
#
# Two minutes before its time limit the run saves and the job requeues itself; it continues at the step where it stopped (--resume
# auto), as often as needed. If a rank dies, all ranks are restarted from the last checkpoint.
#
#   GPUS=         processes per node (default: its GPUs)
#   RESTARTS=3    how often a job may restart its ranks
#   PORT=         of the rendezvous on the first node (default: derived from the job id)
#   DRY_RUN=1     print the command and run nothing; works without SLURM, too
#   PYTHON= VENV= see scripts/environment.sh; needed on every node
#
#SBATCH --job-name=mamp
#SBATCH --output=slurm-%j.out
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:USR1@120
set -euo pipefail
[ -n "${SLURM_JOB_ID:-}" ] || source "$(dirname "$0")/help.sh"
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")/..}" # SLURM runs a copy of this file from somewhere else

fail() {
    echo "error: $*" >&2
    exit 2
}

[[ ${1:-} =~ ^main_[a-z]+\.py$ ]] || fail "first argument '${1:-}': name a main, as in scripts/slurm.sh main_pretrain.py --dataset ..."
[ -e "$1" ] || fail "$1 is not in $PWD; run sbatch in the root of the repository"
if [ "${DRY_RUN:-0}" = 1 ]; then
    first=${SLURM_JOB_NODELIST:-FIRST_NODE}
else
    [ -n "${SLURM_JOB_ID:-}" ] || fail "not in a SLURM job; sbatch scripts/slurm.sh $*"
    hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
    first=${hosts%%$'\n'*}
fi
source scripts/environment.sh requirements.txt
job=${SLURM_JOB_ID:-0} nodes=${SLURM_NNODES:-1}
main=("$1")
[ "$1" = main_retrieval.py ] || main+=(--resume auto)
shift

# On each node. torchrun passes SIGTERM on to its ranks and gives them 110 seconds to save (older versions 30, whatever is set here); SIGUSR1
# would end it and leave these alone, so it never sees that.
node='(trap "" USR1; exec "$@") & run=$!
trap "kill -TERM $run" USR1 TERM
until wait $run; status=$?; ! kill -0 $run 2>/dev/null; do :; done
exit $status'
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-110}
[ -z "${SLURM_CPUS_PER_TASK:-}" ] || export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK # which srun does not take from sbatch in many versions
export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 # a second restart would meet the first one's keys in the shared store, and hang
command=(
    srun --nodes "$nodes" --ntasks-per-node 1 --kill-on-bad-exit=0 # a node that has stopped must not stop one that still saves
    bash -c "$node" node
    "$PYTHON" -m torch.distributed.run --nnodes "$nodes" --nproc_per_node "${GPUS:-gpu}" --max_restarts "${RESTARTS:-3}"
    --rdzv_backend c10d --rdzv_id "$job" --rdzv_endpoint "$first:${PORT:-$((20000 + job % 20000))}"
    "${main[@]}" "$@"
)
printf -v line '%q ' "${command[@]}"
echo "$line"
[ "${DRY_RUN:-0}" = 0 ] || exit 0

asked=
"${command[@]}" &
step=$!
trap 'asked=1; echo "the time is nearly over: the run saves, and the job will queue again"; kill -USR1 "$step"' USR1
until wait "$step"; status=$?; ! kill -0 "$step" 2>/dev/null; do :; done
[ -z "$asked" ] || [ "$status" = 0 ] || scontrol requeue "$SLURM_JOB_ID"
exit "$status"
