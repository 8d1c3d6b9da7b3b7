#!/usr/bin/env bash
# Ablations of the paper, pre-training and linear probe: DATA=ntu60_xsub TABLE=8 bash scripts/ablation.sh [options of both mains]
#   TABLE=7     input × target; with joints as target masking is uniform, as in SkeletonMAE*
#   TABLE=8     random or motion-aware masking
#   TABLE=9     segment length; a sequence always has SEGMENTS=30 segments
#   TABLE=10    decoder depth and width
#   TABLE=fig5  mask ratio, and schedule for MAMP and SkeletonMAE*; the paper draws curves, this grid is ours
#   TABLE=all   all of these. Runs that several tables share, such as MAMP itself, are run once.
#   TABLE=decoder   (not in the paper) query and cross decoders: depth, masking, target, loss weight, query_frames, predict_ratio
# Each row runs the commands of scripts/pretrain.sh and scripts/linprobe.sh with an option such as --decoder_depth 3, in a folder such
# as $OUT/$DATA/mamp-decoder_depth-3. The rows are listed in scripts/plan.py. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan ablation "$@"
