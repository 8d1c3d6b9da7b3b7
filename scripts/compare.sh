#!/usr/bin/env bash
# MAMP, SkeletonMAE* and UmURL on the same data with the same budget, what costs nothing (both encoders without pre-training, and
# the coordinates themselves), then one table that says which methods are not better than that:
#   DATA=ucla SEEDS="0 1" bash scripts/compare.sh [options of all mains]
#   EPOCHS=40   of every pre-training; UmURL's rate falls at the same share of them. Default: what the data set's configuration
#               gives MAMP. A method that gets other epochs than its configuration has, gets the variant epochs-<EPOCHS>
#   RATIO=0.1   share of the labels in the semi-supervised fine-tuning
# Every seed is judged on its own pre-training, after its last epoch. Other variables: scripts/launch.sh.
set -euo pipefail
METHOD=${METHOD:-mamp skeletonmae umurl none umurl_none} CHECKPOINT=checkpoint-last.pth PRETRAIN_SEED=''
source "$(dirname "$0")/launch.sh"
if [ "$SMOKE" = 1 ]; then RATIO=${RATIO:-0.5}; fi
RATIO=${RATIO:-0.1} EPOCHS=${EPOCHS:-$(setting epochs)} variant=${VARIANT:-}
[[ $RATIO =~ ^0\.[0-9]+$ ]] || fail "RATIO=$RATIO: is not a share of the labels such as 0.1"
[[ $EPOCHS =~ ^[1-9][0-9]*$ ]] || fail "EPOCHS=$EPOCHS: a whole number, at least 1"
[ -z "${ENCODER:-}" ] || fail "ENCODER=$ENCODER: here every method makes its own"

for method in $METHOD; do  # every encoder is there without pre-training, too
    case $method in umurl*) method=umurl_none ;; *) method=none ;; esac
    [[ " $METHOD " == *" $method "* ]] || METHOD+=" $method"
done

runs=()
coordinates() {  # TAG SEED [OPTION...]
    local folder command
    VARIANT=$variant folder=$(folder "$DATA" coordinates "$1" "$2")
    runs+=("$folder")
    if [ -e "$folder/1-NN/result.json" ]; then
        echo "done already: $folder" >&2
        return
    fi
    command=("$PYTHON" scripts/coordinates.py --dataset "$DATA" --output_dir "$folder" --subset_seed "$2")
    [ "$STREAM" = joint ] || command+=(--input_stream "$STREAM")
    [ "$SMOKE" = 0 ] || command+=(--data_path "$OUT/data/DEMO_XSub.npz" --num_frames 16 --device cpu)
    shift 2
    execute "${command[@]}" "$@"
}
coordinates "all${TAG:+-$TAG}" 0 "$@"
for seed in $SEEDS; do coordinates "$RATIO${TAG:+-$TAG}" "$seed" --data_ratio "$RATIO" "$@"; done

for method in $METHOD; do
    METHOD=$method VARIANT=$variant budget=() stages=(linprobe retrieval finetune)
    configured=$(setting epochs "$method") fall=$(setting lr_steps "$method")
    if [[ $method != *none ]]; then
        stages=(pretrain "${stages[@]}")
        if [ "$EPOCHS" != "$configured" ]; then
            VARIANT=${variant:+$variant-}epochs-$EPOCHS
            budget=(--epochs "$EPOCHS")
            [ -z "$fall" ] || budget+=(--lr_steps $(((fall * EPOCHS + configured - 1) / configured)))
        fi
    fi
    name=${TAG:+-$TAG}
    pretrain "${budget[@]}" "$@"
    judge linprobe "$@"
    judge retrieval "$@"
    TAG=$RATIO$name judge finetune --data_ratio "$RATIO" "$@"
    for seed in $SEEDS; do
        for stage in "${stages[@]}"; do
            tag=$name
            case $stage in pretrain) tag= ;; finetune) tag=-$RATIO$name ;; esac
            runs+=("$(folder "$DATA" "$method" "$stage$tag" "$seed")")
        done
    done
done
execute "$PYTHON" scripts/compare.py "${runs[@]}" --markdown "$OUT/compare-$DATA.md"
