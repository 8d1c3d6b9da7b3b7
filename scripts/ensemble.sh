#!/usr/bin/env bash
# Joint, motion and bone, each pre-trained, fine-tuned (STAGE=finetune, or linprobe) and evaluated, and the three together:
#   DATA=ntu60_xsub bash scripts/ensemble.sh [options of all mains]. Variables: scripts/launch.sh; WEIGHTS="1 1 1" of the streams.
set -euo pipefail
STAGE=${STAGE:-finetune} WEIGHTS=${WEIGHTS:-1 1 1}
source "$(dirname "$0")/launch.sh"
one_of STAGE "$STAGE" finetune linprobe
[[ $METHOD != *umurl* ]] || fail "METHOD=$METHOD: UmURL sees joints, bones and motions together already"
streams="joint motion bone"
for STREAM in $streams; do
    pretrain "$@"
    judge "$STAGE" "$@"
done
for method in $METHOD; do
    for seed in $SEEDS; do
        scores=()
        for STREAM in $streams; do
            judged=$(folder "$DATA" "$method" "$STAGE${TAG:+-$TAG}" "$seed")
            scores+=("$judged/scores/scores.npz")
            [ -e "$judged/scores/scores.npz" ] || execute "$PYTHON" "main_$STAGE.py" --config "$judged/config.yaml" \
                --eval "$judged/checkpoint-last.pth" --output_dir "$judged/scores" "$@"
        done
        # shellcheck disable=SC2086  # one word per weight
        execute "$PYTHON" scripts/ensemble.py "${scores[@]}" --weights $WEIGHTS
    done
done
