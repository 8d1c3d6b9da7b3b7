#!/usr/bin/env bash
# From scratch (Tables 2 and 3), without layer decay: DATA=ntu60_xsub bash scripts/scratch.sh [options of main_finetune.py]
# For every seed it runs
#   torchrun --nproc_per_node $GPUS main_finetune.py --dataset $DATA --seed $SEED --resume auto --layer_decay 1 \
#       --output_dir $OUT/$DATA/none/finetune/seed$SEED
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan scratch "$@"
