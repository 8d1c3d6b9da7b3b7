# Sourced by the scripts: sets $PYTHON to an interpreter with the packages of $1 (a requirements file).
#   PYTHON=/path/to/python   use this interpreter as it is, install nothing
#   VENV=/path/to/venv       create or reuse this environment
# With neither: the active environment if it has all packages, else .venv, created by the first call. DRY_RUN=1 installs nothing.
requirements=$1
active=${VIRTUAL_ENV:-${CONDA_PREFIX:-}}
if [ -z "$active" ] && found=$(command -v python || command -v python3) && "$found" scripts/environment.py "$requirements" 2>/dev/null; then
    active=$("$found" -c 'import sys; print(sys.prefix)') # such as a container's, which is active by PATH alone
fi
if [ -n "${PYTHON:-}" ]; then
    echo "environment: using $PYTHON as it is" >&2
elif [ -z "${VENV:-}" ] && [ -n "$active" ] && "$active/bin/python" scripts/environment.py "$requirements"; then
    PYTHON=$active/bin/python
    echo "environment: using the active one, $active; it has everything in $requirements" >&2
else
    VENV=${VENV:-.venv}
    PYTHON=$VENV/bin/python
    stamp=$VENV/.$requirements-$(cksum requirements.txt "$requirements" | cksum | cut -d' ' -f1)
    if [ -e "$stamp" ]; then
        echo "environment: reusing $VENV" >&2
    elif [ "${DRY_RUN:-0}" = 0 ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
            { echo "error: python3 is $(python3 --version 2>&1); Python 3.10 or newer is needed" >&2; exit 2; }
        echo "environment: installing $requirements into $VENV, once; 1 to 5 minutes and 2 to 6 GB, depending on the network" >&2
        [ -x "$PYTHON" ] || python3 -m venv "$VENV" ||
            { echo "error: python3 -m venv failed; on Debian and Ubuntu install python3-venv" >&2; exit 2; }
        "$PYTHON" -m pip install --quiet --disable-pip-version-check -r "$requirements" ||
            { echo "error: installing $requirements failed; see above, or give an environment that has it: PYTHON=... $0" >&2; exit 2; }
        touch "$stamp"
    fi
fi
[ "${DRY_RUN:-0}" = 1 ] || "$PYTHON" -c 'import torch, torchvision, timm' ||
    { echo "error: $PYTHON cannot import torch, torchvision and timm; torch and torchvision must come from one place" >&2; exit 2; }
