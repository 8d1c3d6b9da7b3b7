#!/usr/bin/env bash
# Joint, motion and bone, each pre-trained, fine-tuned (STAGE=finetune, or linprobe) and evaluated, and the three together:
#   DATA=ntu60_xsub bash scripts/ensemble.sh [options of all mains]
# The last command for every method and seed is
#   python -m scripts.ensemble joint/scores.npz motion/scores.npz bone/scores.npz --weights $WEIGHTS
# WEIGHTS="1 1 1" are those of the streams. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan ensemble "$@"
