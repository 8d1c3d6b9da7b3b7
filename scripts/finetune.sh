#!/usr/bin/env bash
# Fine-tuning with all labels (Tables 2 and 3): DATA=ntu60_xsub METHOD=mamp bash scripts/finetune.sh [options of main_finetune.py]
# For every method and seed it runs
#   torchrun --nproc_per_node $GPUS main_finetune.py --dataset $DATA --seed $SEED --resume auto \
#       --finetune $OUT/$DATA/$METHOD/pretrain/seed$SEED/checkpoint-399.pth --output_dir $OUT/$DATA/$METHOD/finetune/seed$SEED
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan finetune "$@"
