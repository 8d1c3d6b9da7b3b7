# Sourced by the launch scripts: the variables they share. scripts/plan.py makes the commands of them, prints each and runs it. A
# script's own arguments go on to the mains it starts, after all others.
#
#   DATA=ntu60_xsub  a name in config/dataset/
#   METHOD=mamp      one or several of: mamp; skeletonmae (joints as target, uniform masking); mamp_query, mamp_cross,
#                    skeletonmae_query (decoders that only ask, docs/training.md); random_masking (MAMP with uniform masking); umurl;
#                    none and umurl_none (no pre-training: a random encoder, or training from scratch)
#   STREAM=joint     or motion, bone: what the model sees, in pre-training and afterwards
#   SEEDS="0"        one run each, on the pre-training of the same seed (or of PRETRAIN_SEED)
#   GPUS=4           1, 2, 4, 8 or 16 (1 if the data set is not the paper's); the effective batch is the same on any number. Linear
#                    probe and fine-tuning take at most 2, as in the release: BatchNorm sees one GPU's samples, 128 and 24 there
#   OUT=output       results: OUT/<data>/<method>[-<stream>][-<variant>]/<stage>[-<tag>]/seed<k>
#   VARIANT= TAG=    names for another pre-training, for another way of judging it; give one whenever you give arguments
#   ENCODER=FILE     judge this checkpoint (a released one, too) instead of one of ours; needs a TAG or VARIANT
#   CHECKPOINT=      judge this file of the pre-training folder instead of the paper's (checkpoint-399.pth, PKU-MMD checkpoint-300.pth)
#   DRY_RUN=1        print the commands, one a line, and run nothing
#   SMOKE=1          a tiny model on a tiny INVENTED recording, two epochs, on the CPU: to see that it all runs; OUT=output/smoke
#   PYTHON= VENV=    see scripts/environment.sh
#
# A run whose result.json exists is not run again; one that was interrupted goes on where it was.

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
