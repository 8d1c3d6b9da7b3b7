#!/usr/bin/env bash
# From invented raw recordings to accuracies in one command: bash scripts/demo.sh [--smoke] [--seeds 2] [--ratio 0.1]
#   [--data FOLDER] [--output FOLDER]; python -m scripts.demo --help explains them, scripts/environment.sh PYTHON and VENV.
set -euo pipefail
source "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
source scripts/environment.sh requirements.txt
exec "$PYTHON" -m scripts.demo "$@"
