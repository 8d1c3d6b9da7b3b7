#!/usr/bin/env bash
# 1-NN retrieval on frozen features: DATA=ntu60_xsub METHOD=mamp bash scripts/retrieval.sh [options of main_retrieval.py, e.g. --k 5]
# For every method and seed it runs
#   torchrun --nproc_per_node $GPUS main_retrieval.py --dataset $DATA --seed $SEED \
#       --finetune $OUT/$DATA/$METHOD/pretrain/seed$SEED/checkpoint-399.pth --output_dir $OUT/$DATA/$METHOD/retrieval/seed$SEED
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan retrieval "$@"
