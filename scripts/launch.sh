# Sourced by the launch scripts: what they share. A script's own arguments go on to the mains it starts, after all others.
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

fail() {
    echo "error: $*" >&2
    exit 2
}

one_of() {  # NAME VALUE CHOICE...: VALUE has to be one of the choices
    local name=$1 value=$2 choice
    shift 2
    for choice; do [ "$choice" != "$value" ] || return 0; done
    fail "$name=$value: use one of $*"
}

DRY_RUN=${DRY_RUN:-0} SMOKE=${SMOKE:-0} STREAM=${STREAM:-joint} SEEDS=${SEEDS:-0}
one_of DRY_RUN "$DRY_RUN" 0 1
one_of SMOKE "$SMOKE" 0 1
if [ "$SMOKE" = 1 ]; then
    DATA=demo GPUS=1 OUT=${OUT:-output/smoke} CHECKPOINT=checkpoint-last.pth
fi
DATA=${DATA:-ntu60_xsub} OUT=${OUT:-output}
case $DATA in *_umurl) METHOD=${METHOD:-umurl} ;; *) METHOD=${METHOD:-mamp} ;; esac
case $DATA in ntu* | pku*) GPUS=${GPUS:-4} ;; *) GPUS=${GPUS:-1} ;; esac
datasets=(config/dataset/*.yaml)
datasets=("${datasets[@]##*/}")
one_of DATA "$DATA" "${datasets[@]%.yaml}"
one_of GPUS "$GPUS" 1 2 4 8 16
one_of STREAM "$STREAM" joint motion bone
trained=(mamp mamp_query mamp_cross skeletonmae skeletonmae_query random_masking umurl)
for method in $METHOD; do one_of METHOD "$method" "${trained[@]}" none umurl_none; done
case "$METHOD-$STREAM" in *umurl*-joint) ;; *umurl*) fail "STREAM=$STREAM: UmURL makes bones and motions of the joints itself" ;; esac
for seed in $SEEDS ${PRETRAIN_SEED:-}; do [[ $seed =~ ^[0-9]+$ ]] || fail "seed $seed: whole numbers, as in SEEDS='0 1 2'"; done
if [ -n "${ENCODER:-}" ]; then
    one_of "ENCODER=$ENCODER with METHOD" "$METHOD" "${trained[@]}"
    [ -n "${TAG:-}${VARIANT:-}" ] || fail "ENCODER=$ENCODER: give its results a name, as in TAG=released"
fi
export DATA STREAM SEEDS GPUS OUT DRY_RUN SMOKE

if [ -z "${ENVIRONMENT_CHECKED:-}" ]; then
    gpus=$(nvidia-smi --list-gpus 2>/dev/null | wc -l) || true
    [ "$DRY_RUN" = 1 ] || [ "$gpus" = 0 ] || [ "$GPUS" -le "$gpus" ] || fail "GPUS=$GPUS: this machine has $gpus; GPUS=1 gives the same effective batch"
    source scripts/environment.sh requirements.txt
    export PYTHON ENVIRONMENT_CHECKED=1
fi

execute() {  # COMMAND...: print it, quoted for the shell; run it unless DRY_RUN
    local line
    printf -v line '%q ' "$@"
    if [ "$DRY_RUN" = 1 ]; then
        echo "${line% }"
    else
        echo "\$ ${line% }"
        "$@"
    fi
}

folder() {  # DATA METHOD STAGE SEED: where a run leaves its files
    local stream=-$STREAM
    echo "$OUT/$1/$2${stream#-joint}${VARIANT:+-$VARIANT}/$3/seed$4"
}

planned=
run() {  # STAGE FOLDER SEED [OPTION...]: start a main, unless its result is there
    local stage=$1 folder=$2 seed=$3 gpus=$GPUS command
    shift 3
    [[ " $planned " != *" $folder "* ]] || return 0
    planned+=" $folder"
    if [ -e "$folder/result.json" ]; then
        echo "done already: $folder/result.json" >&2
        return
    fi
    if [ "$gpus" -gt 2 ] && { [ "$stage" = linprobe ] || [ "$stage" = finetune ]; }; then gpus=2; fi
    command=("$PYTHON")
    [ "$gpus" = 1 ] || command+=(-m torch.distributed.run --standalone --nproc_per_node "$gpus")
    command+=("main_$stage.py" --dataset "$DATA" --output_dir "$folder" --seed "$seed")
    [ "$stage" = retrieval ] || command+=(--resume auto)
    [ "$STREAM" = joint ] || command+=(--input_stream "$STREAM")
    if [ "$SMOKE" = 1 ]; then
        command+=(--data_path "$OUT/data/DEMO_XSub.npz" --num_frames 16 --dim_feat 16 --device cpu)
        [ "$stage" = retrieval ] || command+=(--epochs 2 --warmup_epochs 1)
    fi
    execute "${command[@]}" "$@"
}

architecture() {  # METHOD: begins `options` with the method's encoder, unless it is the one of the data set's file
    local own=mamp name=mamp
    case $DATA in *_umurl) own=umurl ;; esac
    case $1 in umurl*) name=umurl ;; esac
    options=()
    [ "$name" = "$own" ] || options=(--method "$name")
}

pretrain() {  # [OPTION...]: every METHOD, every seed
    local method seed options
    for method in $METHOD; do
        architecture "$method"
        case $method in
            none | umurl_none) continue ;;
            mamp_*) options+=(--decoder "${method#mamp_}") ;;
            skeletonmae) options+=(--target joint --motion_aware_tau 0) ;;
            skeletonmae_query) options+=(--decoder query --target joint --motion_aware_tau 0) ;;
            random_masking) options+=(--motion_aware_tau 0) ;;
        esac
        for seed in $SEEDS; do
            run pretrain "$(folder "$DATA" "$method" pretrain "$seed")" "$seed" "${options[@]}" "$@"
        done
    done
}

judge() {  # STAGE [OPTION...]: every METHOD, every seed; on the encoder of the data set $SOURCE, default $DATA
    local stage=$1 method seed file options
    shift
    for method in $METHOD; do
        for seed in $SEEDS; do
            architecture "$method"
            if [[ $method != *none ]]; then
                file=$(encoder "$method" "${PRETRAIN_SEED:-$seed}")
                options+=(--finetune "$file")
            elif [ "$stage" = finetune ]; then
                options+=(--layer_decay 1)
            fi
            run "$stage" "$(folder "$DATA" "$method" "$stage${TAG:+-$TAG}" "$seed")" "$seed" "${options[@]}" "$@"
        done
    done
}

encoder() {  # METHOD SEED: the checkpoint to judge
    local source=${SOURCE:-$DATA} epoch= file
    case $source-$1 in  # the published epoch is that of the method the arrays are made for
        *_umurl-umurl) ;;
        *_umurl-* | *-umurl) epoch=last ;;
    esac
    epoch=${epoch:-$(sed -n "s/^ *$source:.* encoder_epoch: \([0-9]*\).*/\1/p" config/paper.yaml)}
    file=$(folder "$source" "$1" pretrain "$2")/${CHECKPOINT:-checkpoint-${epoch:-last}.pth}
    file=${ENCODER:-$file}
    if [ "$DRY_RUN" = 0 ]; then
        [ -e "$file" ] || fail "$file is not there; scripts/pretrain.sh with DATA=$source METHOD=$1 SEEDS=$2 STREAM=$STREAM makes it"
        [ "${file##*/}" != checkpoint-last.pth ] || [ -n "${ENCODER:-}" ] || [ -e "${file%/*}/result.json" ] ||
            fail "$file: the pre-training is not finished; run scripts/pretrain.sh again, it goes on where it was"
    fi
    echo "$file"
}

setting() {  # KEY [METHOD]: a number that the configuration files, or else the options' defaults, say about a pre-training
    local file=config/dataset/$DATA.yaml method=mamp
    case ${2:-} in umurl*) method=umurl ;; esac
    {
        sed -n "/^  $method:/,/^  [a-z]/p" "$file"
        sed '/^methods:/,$d' "$file"
        [ "$method" != umurl ] || cat config/umurl.yaml
        cat config/pretrain.yaml util/options.py
    } | sed -nE "/^ *(linprobe|finetune|retrieval):/d; s/.*\b($1: |Option\(\"$1\", )([0-9.]+).*/\2/p" | sed -n 1p
}

if [ "$SMOKE" = 1 ] && [ -z "${SMOKE_STARTED:-}" ]; then
    echo "SMOKE=1: tiny runs on an INVENTED recording, in $OUT; their numbers mean nothing" >&2
fi
if [ "$SMOKE" = 1 ] && [ -z "${SMOKE_STARTED:-}" ] && [ ! -e "$OUT/data/DEMO_XSub.npz" ]; then
    execute "$PYTHON" data/demo/make_demo.py --out "$OUT/data/raw" --actions 6 --performers 4 --replications 1
    execute "$PYTHON" data/ntu/get_raw_skes_data.py --raw "$OUT/data/raw/nturgb+d_skeletons" --out "$OUT/data"
    execute "$PYTHON" data/ntu/get_raw_denoised_data.py --out "$OUT/data"
    execute "$PYTHON" data/ntu/seq_transformation.py --out "$OUT/data" --name DEMO
fi
export SMOKE_STARTED=1
