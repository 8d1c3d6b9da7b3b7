#!/usr/bin/env bash
# Transfer (Table 6): encoders of other data sets, fine-tuned on PKU-MMD II: bash scripts/transfer.sh [options of main_finetune.py]
# For every one of SOURCES (ntu60_xsub ntu120_xsub pku1_xsub), whose pre-training must exist (scripts/pretrain.sh), it runs
#   torchrun --nproc_per_node $GPUS main_finetune.py --dataset pku2_xsub --seed $SEED --resume auto \
#       --finetune $OUT/$SOURCE/$METHOD/pretrain/seed$SEED/checkpoint-399.pth --output_dir $OUT/pku2_xsub/$METHOD/finetune-from-$SOURCE/seed$SEED
# METHOD is mamp and skeletonmae unless given. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan transfer "$@"
