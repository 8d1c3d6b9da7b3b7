# Sourced by the launch scripts: the variables that they share. scripts/plan.py makes the commands from them, prints and runs each. A
# script's arguments are passed to the mains, after all others; one that a main does not have is refused before anything runs.
#
#   DATA=ntu60_xsub  a name in config/dataset/
#   METHOD=mamp      one or several of: mamp; skeletonmae (joints as target, uniform masking); mamp_query, mamp_cross,
#                    skeletonmae_query (cheaper decoders, docs/training.md); random_masking (MAMP with uniform masking); umurl;
#                    none and umurl_none (no pre-training: a random encoder, or training from scratch)
#   STREAM=joint     or motion, bone: the model's input, in pre-training and afterwards
#   SEEDS="0"        one run each, with the pre-training of the same seed (or of PRETRAIN_SEED)
#   GPUS=4           1, 2, 4, 8 or 16 (default 1 for data sets that are not in the paper); the effective batch is always the same. Linear
#                    probe and fine-tuning use at most 2, as the release, because their BatchNorm normalises over one GPU's samples
#   OUT=output       results: OUT/<data>/<method>[-<stream>][-<variant>]/<stage>[-<tag>]/seed<k>
#   VARIANT= TAG=    names for a changed pre-training, or a changed evaluation; give one whenever you give arguments
#   ENCODER=FILE     evaluate this checkpoint (for example a released one) instead of our pre-training's; needs a TAG or VARIANT.
#                    pretrain.sh starts from its weights; needs a VARIANT
#   CHECKPOINT=      evaluate this file of the pre-training folder instead of the paper's (checkpoint-399.pth, PKU-MMD checkpoint-300.pth)
#   DRY_RUN=1        print the commands, one a line, and run nothing
#   SMOKE=1          a test run: a tiny model on tiny INVENTED data, two epochs, on the CPU; OUT=output/smoke
#   PYTHON= VENV=    see scripts/environment.sh
#
# A run whose result.json exists is skipped; an interrupted one is resumed.

source "$(dirname "${BASH_SOURCE[0]}")/help.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ ${DRY_RUN:-0} == [01] ]] || { echo "error: DRY_RUN=$DRY_RUN: use one of 0 1" >&2; exit 2; }
source scripts/environment.sh requirements.txt
export PYTHON

plan() {  # NAME [OPTION...]: run what scripts/plan.py lists for the script NAME
    local planner=$PYTHON
    if [ "${DRY_RUN:-0}" != 0 ] && ! "$PYTHON" -c 'import yaml' 2>/dev/null; then planner=python3; fi  # nothing is installed yet
    "$planner" -c 'import yaml' 2>/dev/null ||
        { echo "error: neither $PYTHON nor python3 has PyYAML, which planning needs; run once without DRY_RUN, which installs it" >&2; exit 2; }
    exec "$planner" -m scripts.plan "$@"
}
