#!/usr/bin/env bash
# Tuning with nearest neighbours (STARS): DATA=ntu60_xsub METHOD=mamp bash scripts/tune.sh [options of main_tune.py]
# For every method and seed it runs
#   torchrun --nproc_per_node $GPUS main_tune.py --dataset $DATA --seed $SEED --resume auto \
#       --finetune $OUT/$DATA/$METHOD/pretrain/seed$SEED/checkpoint-399.pth --output_dir $OUT/$DATA/$METHOD/tune/seed$SEED
# and then a linear probe and a retrieval with the tuned encoder, in .../linprobe-tuned and .../retrieval-tuned.
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan tune "$@"
