#!/usr/bin/env bash
# Fine-tuning with all labels (Tables 2 and 3): DATA=ntu60_xsub METHOD=mamp bash scripts/finetune.sh [options of main_finetune.py]
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
judge finetune "$@"
