#!/usr/bin/env bash
# MAMP, SkeletonMAE* and UmURL on the same data with the same budget, what costs nothing (both encoders without pre-training, and
# the coordinates themselves), then one table that says which methods are not better than that:
#   DATA=ucla SEEDS="0 1" bash scripts/compare.sh [options of all mains]
#   EPOCHS=40   of every pre-training; UmURL's rate falls at the same share of them. Default: what the data set's configuration
#               gives MAMP. A method that gets other epochs than its configuration has, gets the variant epochs-<EPOCHS>
#   RATIO=0.1   share of the labels in the semi-supervised fine-tuning
# For every method and seed it runs pre-training, linear probe, retrieval and fine-tuning as the scripts of these names do, and then
#   python -m scripts.compare <their folders> --markdown $OUT/compare-$DATA.md
# Every seed is judged on its own pre-training, after its last epoch. Other variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan compare "$@"
