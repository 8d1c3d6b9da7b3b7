#!/usr/bin/env bash
# Pre-training, once per seed and method: DATA=ntu60_xsub METHOD=mamp bash scripts/pretrain.sh [options of main_pretrain.py]
# The variables (DATA, METHOD, STREAM, SEEDS, GPUS, OUT, DRY_RUN, SMOKE ...) are explained in scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
pretrain "$@"
