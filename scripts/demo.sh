#!/usr/bin/env bash
# From invented raw recordings to accuracies in one command: bash scripts/demo.sh [--smoke]. See scripts/environment.sh for PYTHON and VENV.
set -euo pipefail
source "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
source scripts/environment.sh requirements.txt
exec "$PYTHON" -m scripts.demo "$@"
