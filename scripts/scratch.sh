#!/usr/bin/env bash
# From scratch (Tables 2 and 3), without layer decay: DATA=ntu60_xsub bash scripts/scratch.sh [options of main_finetune.py]
# Variables: scripts/launch.sh.
METHOD=none exec bash "$(dirname "$0")/finetune.sh" "$@"
