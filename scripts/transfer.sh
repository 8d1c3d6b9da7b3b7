#!/usr/bin/env bash
# Transfer (Table 6): encoders of other data sets, fine-tuned on PKU-MMD II: bash scripts/transfer.sh [options of main_finetune.py]
# SOURCES names the data sets of the pre-training, which scripts/pretrain.sh has to have done. Other variables: scripts/launch.sh.
set -euo pipefail
DATA=${DATA:-pku2_xsub} METHOD=${METHOD:-mamp skeletonmae} SOURCES=${SOURCES:-ntu60_xsub ntu120_xsub pku1_xsub}
source "$(dirname "$0")/launch.sh"
[ "$SMOKE" = 0 ] || SOURCES=demo
name=${TAG:+-$TAG}
for SOURCE in $SOURCES; do
    one_of SOURCES "$SOURCE" "${datasets[@]%.yaml}"
    TAG=from-$SOURCE$name judge finetune "$@"
done
