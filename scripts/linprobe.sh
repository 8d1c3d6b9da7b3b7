#!/usr/bin/env bash
# Linear probe (Table 1): DATA=ntu60_xsub METHOD=mamp bash scripts/linprobe.sh [options of main_linprobe.py]. Variables: launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
judge linprobe "$@"
