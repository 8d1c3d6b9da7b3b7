#!/usr/bin/env bash
# Semi-supervised (Table 5): fine-tuning with shares RATIOS of the labels, five seeds with a subset each, from one pre-training:
#   DATA=ntu60_xsub RATIOS="0.01 0.1" bash scripts/semi.sh [options of main_finetune.py]
# For every ratio, method (default: mamp skeletonmae none) and seed (default: 0 to 4) it runs
#   torchrun --nproc_per_node $GPUS main_finetune.py --dataset $DATA --seed $SEED --resume auto --data_ratio $RATIO \
#       --finetune $OUT/$DATA/$METHOD/pretrain/seed0/checkpoint-399.pth --output_dir $OUT/$DATA/$METHOD/finetune-$RATIO/seed$SEED
# With PRETRAIN_SEED= (empty) each seed uses its own pre-training instead of that of seed 0. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan semi "$@"
