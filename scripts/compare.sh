#!/usr/bin/env bash
# Compare MAMP, SkeletonMAE* and UmURL on the same data with the same budget, and with baselines without pre-training (both encoders
# with random weights; ridge regression and 1-NN on coordinates). The report says which methods are not better than these:
#   DATA=ucla SEEDS="0 1" bash scripts/compare.sh [options of all mains]
#   EPOCHS=40   epochs of every pre-training (default: MAMP's for the data set); UmURL's rate falls after the same share of them. Where
#               this differs from the configuration, VARIANT is epochs-<EPOCHS>
#   RATIO=0.1   share of the labels in the semi-supervised fine-tuning
# For every method and seed it runs pre-training, linear probe, retrieval and fine-tuning as the scripts of these names do, and then
#   python -m scripts.compare <their folders> --markdown $OUT/compare-$DATA[-$STREAM][-$VARIANT][-epochs-$EPOCHS][-$TAG].md
# Each seed uses its own pre-training, after its last epoch. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan compare "$@"
