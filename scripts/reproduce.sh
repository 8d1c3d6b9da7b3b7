#!/usr/bin/env bash
# Everything the paper measures on a data set, then the table: DATA=ntu60_xsub bash scripts/reproduce.sh [options of all mains]
# ABLATION=all (7, 8, 9, 10 or fig5) adds the ablations. A data set that is not in the paper gets a comparison of pre-trainings: MAMP,
# SkeletonMAE*, MAMP with uniform masking, none; each seed on its own pre-training. Variables: scripts/launch.sh.
set -euo pipefail
seeds=${SEEDS:-} methods=${METHOD:-}  # as given: some protocols have defaults of their own
source "$(dirname "$0")/launch.sh"

step() {  # SCRIPT [OPTION...]
    bash "scripts/$1.sh" "${@:2}"
}

case $DATA in
    *_umurl) export METHOD=${methods:-umurl} ;;
    ntu* | pku*) export METHOD=${methods:-mamp skeletonmae} ;;
    *) export METHOD=${methods:-mamp skeletonmae random_masking none} ;;
esac
step pretrain "$@"
step linprobe "$@"
case $DATA in
    *_umurl) step retrieval "$@" ;;
    ntu*)
        step retrieval "$@"
        step finetune "$@"
        step scratch "$@"
        case $DATA in ntu60*) METHOD="$METHOD none" SEEDS=$seeds step semi "$@" ;; esac
        ;;
    pku2_xsub)
        for source in ntu60_xsub ntu120_xsub pku1_xsub; do DATA=$source step pretrain "$@"; done
        step transfer "$@"
        ;;
    pku*) ;;
    *)
        step retrieval "$@"
        step finetune "$@"
        PRETRAIN_SEED='' RATIOS=${RATIOS:-$([ "$SMOKE" = 1 ] || echo 0.1)} step semi "$@"
        ;;
esac
if [ -n "${ABLATION:-}" ]; then METHOD=mamp TABLE=$ABLATION step ablation "$@"; fi
execute "$PYTHON" scripts/tables.py "$OUT" --markdown "$OUT/tables.md" --csv "$OUT/tables.csv"
