#!/usr/bin/env bash
# Pre-train, fine-tune (STAGE=finetune, or linprobe) and evaluate the streams joint, motion and bone, and their ensemble:
#   DATA=ntu60_xsub bash scripts/ensemble.sh [options of all mains]
# The last command for every method and seed is
#   python -m scripts.ensemble joint/scores.npz motion/scores.npz bone/scores.npz --weights $WEIGHTS
# WEIGHTS="1 1 1": weights of the streams. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan ensemble "$@"
