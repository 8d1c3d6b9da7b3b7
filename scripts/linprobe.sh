#!/usr/bin/env bash
# Linear probe (Table 1): DATA=ntu60_xsub METHOD=mamp bash scripts/linprobe.sh [options of main_linprobe.py]
# For every method and seed it runs
#   torchrun --nproc_per_node $GPUS main_linprobe.py --dataset $DATA --seed $SEED --resume auto \
#       --finetune $OUT/$DATA/$METHOD/pretrain/seed$SEED/checkpoint-399.pth --output_dir $OUT/$DATA/$METHOD/linprobe/seed$SEED
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan linprobe "$@"
