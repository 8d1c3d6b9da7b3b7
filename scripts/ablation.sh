#!/usr/bin/env bash
# Ablations of the paper, pre-training and linear probe: DATA=ntu60_xsub TABLE=8 bash scripts/ablation.sh [options of both mains]
#   TABLE=7     input × target; predicting joints goes with uniform masking, as in SkeletonMAE*
#   TABLE=8     random or motion-aware masking
#   TABLE=9     segment length, with SEGMENTS=30 segments in a sequence whatever their length
#   TABLE=10    decoder depth and width
#   TABLE=fig5  mask ratio, and schedule for MAMP and SkeletonMAE*; the paper draws curves, this grid is ours
#   TABLE=all   all of them. What several tables share, such as MAMP itself, is run once.
#   TABLE=decoder   not the paper's: the decoders that only ask, their depth, masking, target, weight, query length, share asked for
# A row runs the commands of scripts/pretrain.sh and scripts/linprobe.sh, with an option such as --decoder_depth 3 and in a folder
# such as $OUT/$DATA/mamp-decoder_depth-3. The rows stand in scripts/plan.py. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan ablation "$@"
