#!/usr/bin/env bash
# Ablations of the paper, pre-training and linear probe: DATA=ntu60_xsub TABLE=8 bash scripts/ablation.sh [options of both mains]
#   TABLE=7     input × target; predicting joints goes with uniform masking, as in SkeletonMAE*
#   TABLE=8     random or motion-aware masking
#   TABLE=9     segment length, with SEGMENTS=30 segments in a sequence whatever their length
#   TABLE=10    decoder depth and width
#   TABLE=fig5  mask ratio, and schedule for MAMP and SkeletonMAE*; the paper draws curves, this grid is ours
#   TABLE=all   all of them. What several tables share, such as MAMP itself, is run once.
#   TABLE=decoder   not the paper's: the decoders that only ask, their depth, masking, target, weight, query length, share asked for
# Other variables: scripts/launch.sh.
set -euo pipefail
TABLE=${TABLE:-all} SEGMENTS=${SEGMENTS:-30}
source "$(dirname "$0")/launch.sh"
one_of TABLE "$TABLE" 7 8 9 10 fig5 all decoder
[ -z "${VARIANT:-}" ] || fail "VARIANT=$VARIANT: the rows of an ablation name themselves; use another OUT"
schedules="80 160 240 320 400"
if [ "$SMOKE" = 1 ]; then SEGMENTS=2 schedules="1 2"; fi

table() { [ "$TABLE" = "$1" ] || [ "$TABLE" = all ]; }

both() {  # [OPTION...]: pre-training with these options, and its linear probe
    pretrain "$@" "${arguments[@]}"
    judge linprobe "${probe[@]}" "${arguments[@]}"
}

vary() {  # KEY VALUE [OPTION...]: one setting of the pre-training; the data set's own value is no variant
    if [ "$2" = "$(setting "$1")" ]; then both; else VARIANT=$1-$2 both "--$1" "$2" "${@:3}"; fi
}

arguments=("$@") probe=()
if table 7; then
    for STREAM in joint motion; do METHOD="skeletonmae mamp" both; done
    STREAM=joint
fi
if table 8; then METHOD="random_masking mamp" both; fi
METHOD=mamp
if table 9; then
    for length in 2 4 6 8; do
        frames=$((SEGMENTS * length))
        probe=(--num_frames "$frames")
        vary t_patch_size "$length" --num_frames "$frames"
    done
    probe=()
fi
if table 10; then
    for depth in 2 3 4 5; do vary decoder_depth "$depth"; done
    for width in 64 128 256 512; do vary decoder_dim_feat "$width"; done
fi
if table fig5; then
    for ratio in 0.7 0.8 0.85 0.9 0.95; do vary mask_ratio "$ratio"; done
    for epochs in $schedules; do CHECKPOINT=checkpoint-$((epochs - 1)).pth METHOD="mamp skeletonmae" vary epochs "$epochs"; done
fi
if [ "$TABLE" = decoder ]; then
    METHOD="mamp mamp_query mamp_cross" both
    METHOD="mamp_query mamp_cross"
    for depth in 1 3 5; do vary decoder_depth "$depth"; done
    vary motion_aware_tau 0
    vary target joint
    vary loss_weight motion
    METHOD=mamp_query frames=$(setting num_frames) segment=$(setting t_patch_size)
    [ "$SMOKE" = 0 ] || frames=16
    for ((n = segment; n <= frames; n += segment)); do  # every length of whole segments that fits
        [ $((frames % n)) != 0 ] || vary query_frames "$n"
    done
    METHOD=mamp_cross
    for ratio in 0.1 0.25 0.5 1; do vary predict_ratio "$ratio"; done
fi
