"""The variables of the launch scripts (explained in scripts/launch.sh): defaults, checks, and helpers for scripts/plan.py."""

import os
import re
import subprocess
from functools import cache
from types import SimpleNamespace

import yaml

from util import config, config_files
from util.options import DEFAULT_METHOD
from util.results import PAPER

DATASETS = sorted(file.stem for file in (config_files.FOLDER / "dataset").glob("*.yaml"))
METHODS = {name: method["runs"] for name, method in PAPER["methods"].items() if name != "released"}
TRAINED = [name for name, changes in METHODS.items() if changes.get("encoder") != "none"]
STREAMS = ("joint", "motion", "bone")

# defaults ("": see `settings`) for all scripts, for single scripts, and for SMOKE=1
DEFAULTS = dict(DATA="ntu60_xsub", METHOD="", STREAM="joint", SEEDS="0", GPUS="", OUT="", VARIANT="", TAG="", ENCODER="")
DEFAULTS |= dict(CHECKPOINT="", PRETRAIN_SEED="", DRY_RUN="0", SMOKE="0", RATIO="0.1", RATIOS="0.01 0.1", EPOCHS="")
DEFAULTS |= dict(TABLE="all", SEGMENTS="30", ABLATION="", STAGE="finetune", WEIGHTS="1 1 1")
DEFAULTS |= dict(SOURCES="ntu60_xsub ntu120_xsub pku1_xsub")
DEFAULTS_OF = {"semi": {"SEEDS": "0 1 2 3 4", "PRETRAIN_SEED": "0"}, "transfer": {"DATA": "pku2_xsub"}}
DEFAULTS_OF_SMOKE = {"RATIO": "0.5", "RATIOS": "0.5", "SEGMENTS": "2", "OUT": "output/smoke"}
# values that SMOKE=1, or a script, fixes
FIXED_BY_SMOKE = {"DATA": "demo", "GPUS": "1", "CHECKPOINT": "checkpoint-last.pth", "SOURCES": "demo"}
FIXED = {
    "scratch": {"METHOD": "none"},
    "compare": {"CHECKPOINT": "checkpoint-last.pth", "PRETRAIN_SEED": ""},
    "ablation": {"METHOD": "mamp", "STREAM": "joint"},
    "ensemble": {"STREAM": "joint"},
}

# the scripts that read a variable, where the others would ignore it; TABLE and STAGE are too common to be meant for us
READ_BY = {"EPOCHS": ("compare",), "RATIO": ("compare",), "RATIOS": ("semi", "reproduce"), "SOURCES": ("transfer", "reproduce")}
READ_BY["ENCODER"] = ("pretrain", "tune", "linprobe", "finetune", "retrieval", "semi", "transfer")
READ_BY |= {"SEGMENTS": ("ablation", "reproduce"), "ABLATION": ("reproduce",), "WEIGHTS": ("ensemble",)}

MISNAMED = {"DATASET": "DATA", "SEED": "SEEDS", "METHODS": "METHOD", "STREAMS": "STREAM", "NUM_GPUS": "GPUS", "OUTPUT_DIR": "OUT"}


def usual_methods(script, data):
    """The default of METHOD."""
    umurl = own_method(data) == "umurl"
    return {
        "reproduce": "mamp skeletonmae" if in_paper(data) else "mamp skeletonmae random_masking none",
        "transfer": "mamp skeletonmae",
        "semi": "umurl umurl_none" if umurl else "mamp skeletonmae none",
        "compare": "mamp skeletonmae umurl none umurl_none",
    }.get("umurl" if umurl and script == "reproduce" else script, own_method(data))


def settings(script, **fixed):
    """The variables of a script, with lower-case names, checked. Raises ValueError naming a wrong one."""
    given = {key: value for key, value in os.environ.items() if value or key == "PRETRAIN_SEED"}
    smoke = given.get("SMOKE") == "1"
    values = DEFAULTS | (DEFAULTS_OF_SMOKE if smoke else {}) | DEFAULTS_OF.get(script, {})
    values |= given | (FIXED_BY_SMOKE if smoke else {}) | FIXED.get(script, {}) | fixed
    s = SimpleNamespace(**{key.lower(): values[key] for key in DEFAULTS})
    check_choice("DRY_RUN", s.dry_run, "01")
    check_choice("SMOKE", s.smoke, "01")
    if s.data not in DATASETS:
        own = "for data of your own, config/dataset/NAME.yaml: a copy of ucla.yaml with your npz as data_path"
        raise ValueError(f"DATA={s.data}: use one of {' '.join(DATASETS)}; {own}")
    s.source = s.data  # of the pre-training
    s.out = s.out or "output"
    s.gpus = int(check_choice("GPUS", s.gpus or ("4" if in_paper(s.data) else "1"), ("1", "2", "4", "8", "16")))
    s.methods = [check_choice("METHOD", name, METHODS) for name in (s.method or usual_methods(script, s.data)).split()]
    s.seeds = s.seeds.split()
    if check_choice("STREAM", s.stream, STREAMS) != "joint" and any("umurl" in method for method in s.methods):
        raise ValueError(f"STREAM={s.stream}: UmURL makes bones and motions of the joints itself")
    for seed in (*s.seeds, *s.pretrain_seed.split()):
        if not seed.isdecimal():
            raise ValueError(f"seed {seed}: whole numbers, as in SEEDS='0 1 2'")
    for name, ratio in (("RATIO", s.ratio), *(("RATIOS", ratio) for ratio in s.ratios.split())):
        if not re.fullmatch(r"0\.[0-9]+", ratio):
            raise ValueError(f"{name}={ratio}: is not a share of the labels such as 0.1")
    if s.encoder:
        check_choice(f"ENCODER={s.encoder} with METHOD", " ".join(s.methods), TRAINED)
        if script == "pretrain" and not s.variant:
            raise ValueError(f"ENCODER={s.encoder}: give what starts from it a name, as in VARIANT=from-ntu60")
        if not s.tag and not s.variant:
            raise ValueError(f"ENCODER={s.encoder}: give its results a name, as in TAG=released")
    if s.dry_run == "0" and 0 < gpus_here() < s.gpus:
        raise ValueError(f"GPUS={s.gpus}: this machine has {gpus_here()}; GPUS=1 gives the same effective batch")
    return s


def refuse_misnamed():
    """ValueError for a variable that is easily taken for one of ours: the script would start other work."""
    for name, ours in MISNAMED.items():
        if os.environ.get(name) and not os.environ.get(ours):
            raise ValueError(f"{name}={os.environ[name]}: is not read, {ours} is; unset it if it is for something else")


def refuse_fixed(script):
    """ValueError if a variable is given that the script has a value of its own for, or does not read."""
    for key, readers in READ_BY.items():
        if os.environ.get(key) and script not in readers:
            option = f"; here it is the option --epochs {os.environ[key]}" if key == "EPOCHS" else ""
            raise ValueError(f"{key}={os.environ[key]}: is for {' and '.join(f'{name}.sh' for name in readers)}{option}")
    for key, value in FIXED.get(script, {}).items():
        if os.environ.get(key, value) not in ("", value):
            raise ValueError(f"{key}={os.environ[key]}: {script}.sh chooses {key} itself; leave it out")


def replace(s, **changes):
    """A copy of the settings with some values replaced."""
    return SimpleNamespace(**vars(s) | changes)


@cache
def gpus_here():
    """Number of NVIDIA GPUs of this machine; 0 without nvidia-smi."""
    try:
        return len(subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True).stdout.splitlines())
    except OSError:
        return 0


def check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name}={value}: use one of {' '.join(choices)}")
    return value


def own_method(data):
    """The method that a data set's npz is made for: mamp or umurl."""
    return yaml.safe_load((config_files.FOLDER / "dataset" / f"{data}.yaml").read_text(encoding="utf-8")).get(
        "method", DEFAULT_METHOD
    )


def in_paper(data):
    return "encoder_epoch" in PAPER["data"].get(data, {})


def encoder_method(method):
    return METHODS[method].get("method", DEFAULT_METHOD)


def configured(s, method=DEFAULT_METHOD):
    """{option: value} of the data set's pre-training, from the configuration files."""
    return vars(config.parse("pretrain", ["--dataset", s.data, "--method", method, *smoke_options(s, "pretrain")]))


def join(*names):
    return "-".join(filter(None, names))


def words(options):
    return [word for key, value in options.items() for word in (f"--{key}", str(value))]


def demo_data(data, *size):
    """The commands that invent recordings and prepare them as DEMO_XSub.npz in the folder `data`."""
    return [
        ["data/demo/make_demo.py", "--out", f"{data}/raw", *size],
        ["data/ntu/get_raw_skes_data.py", "--raw", f"{data}/raw/nturgb+d_skeletons", "--out", str(data)],
        ["data/ntu/get_raw_denoised_data.py", "--out", str(data)],
        ["data/ntu/seq_transformation.py", "--out", str(data), "--name", "DEMO"],
    ]


def smoke_options(s, stage):
    schedule = {} if stage == "retrieval" else {"epochs": 2, "warmup_epochs": 1}
    own = {"data_path": f"{s.out}/data/DEMO_XSub.npz", "num_frames": 16, "dim_feat": 16, "device": "cpu"} | schedule
    return words(own) if s.smoke == "1" else []
