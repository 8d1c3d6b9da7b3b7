#!/usr/bin/env bash
# Pre-training: DATA=ntu60_xsub METHOD=mamp bash scripts/pretrain.sh [options of main_pretrain.py]
# For every method and seed it runs
#   torchrun --nproc_per_node $GPUS main_pretrain.py --dataset $DATA --seed $SEED --resume auto \
#       --output_dir $OUT/$DATA/$METHOD/pretrain/seed$SEED
# and what makes the method: nothing for mamp, --target joint --motion_aware_tau 0 for skeletonmae, ... (config/paper.yaml).
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan pretrain "$@"
