#!/usr/bin/env bash
# Semi-supervised (Table 5): fine-tuning with the share RATIOS of the labels, five seeds with a subset each, on one pre-training:
#   DATA=ntu60_xsub RATIOS="0.01 0.1" bash scripts/semi.sh [options of main_finetune.py]
# PRETRAIN_SEED= (empty) judges each seed's own pre-training instead of that of seed 0. Other variables: scripts/launch.sh.
set -euo pipefail
case ${DATA:-} in *_umurl) METHOD=${METHOD:-umurl umurl_none} ;; esac
METHOD=${METHOD:-mamp skeletonmae none} SEEDS=${SEEDS:-0 1 2 3 4} PRETRAIN_SEED=${PRETRAIN_SEED-0}
source "$(dirname "$0")/launch.sh"
[ "$SMOKE" = 0 ] || RATIOS=${RATIOS:-0.5}
name=${TAG:+-$TAG}
for ratio in ${RATIOS:-0.01 0.1}; do
    [[ $ratio =~ ^0\.[0-9]+$ ]] || fail "RATIOS: $ratio is not a share of the labels such as 0.01"
    TAG=$ratio$name judge finetune --data_ratio "$ratio" "$@"
done
