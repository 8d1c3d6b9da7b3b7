#!/usr/bin/env bash
# 1-NN retrieval on frozen features: DATA=ntu60_xsub METHOD=mamp bash scripts/retrieval.sh [options of main_retrieval.py, e.g. --k 5]
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
judge retrieval "$@"
