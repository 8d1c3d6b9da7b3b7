#!/usr/bin/env bash
# From scratch (Tables 2 and 3), without layer decay: DATA=ntu60_xsub bash scripts/scratch.sh [options of main_finetune.py]
# Variables: scripts/launch.sh.
set -euo pipefail
METHOD=none
source "$(dirname "$0")/launch.sh"
judge finetune "$@"
