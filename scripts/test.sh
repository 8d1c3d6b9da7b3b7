#!/usr/bin/env bash
# Style and tests: bash scripts/test.sh [pytest arguments, e.g. -m slow, -k feeder]. See scripts/environment.sh for PYTHON and VENV.
set -euo pipefail
source "$(dirname "$0")/help.sh"
cd "$(dirname "$0")/.."
source scripts/environment.sh requirements-test.txt
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"  # the tests' tensors are tiny, so threads only slow them down
echo "ruff: style"
"$PYTHON" -m ruff check --quiet .
"$PYTHON" -m ruff format --check .
echo "pytest: all tests that are not marked slow, a process for each core, about 5 minutes on two"
exec "$PYTHON" -m pytest -q -n auto --dist worksteal -m "not slow" "$@"
