"""Translates settings of the published code (`feeder:`, `model:`, `train_feeder_args:` ...), from a YAML file, a checkpoint or a
command line, into our options. MAE's options are in the tables, too.

NAMES: published names that are called otherwise here. REPLACED: options without a counterpart, and what to use instead.
UNSUPPORTED: features that do not exist here; accepted only with a value that switches them off. All other names are the same.
Class paths are compared with known ones; nothing is ever imported by a name from a file.
"""

from util.options import OPTIONS
from util.validation import check, check_known, convert, short_repr

TESTED = ("val_feeder_args", "test_feeder_args")
SECTIONS = ("train_feeder_args", *TESTED, "model_args")
MARKS = {"feeder", "model", *SECTIONS}  # a file with one of these keys is a published one
# This feeder draws a share of data_ratio on each process anew. For a configuration we draw one share, as the paper means it
# (subset shared, see util.options); a checkpoint was made with a share on each process (subset released).
SEMI = "feeder.feeder_ntu_semi.Feeder"
FEEDERS = ("feeder.feeder_ntu.Feeder", SEMI)
MODELS = {  # {published model: settings of a pre-training that it implies; {} for a classifier}
    "model.transformer.Transformer": {},
    "model_mamp.transformer.Transformer": {"target": "motion"},
    "model_mae.transformer.Transformer": {"target": "joint", "motion_aware_tau": 0},  # has no tau, whatever the file says
    "model.mamp.MAMP": {"target": "motion"},
}
GPUS = {"pretrain": 4, "linprobe": 2, "finetune": 2}  # number in the published launch scripts; batch_size is per GPU

NAMES = {
    "window_size": "num_frames",
    "p_interval": "train_p_interval",
    "norm_pix_loss": "norm_skes_loss",
    "bone": "input_stream",
    "vel": "input_stream",
}
STREAMS = {"bone": "bone", "vel": "motion"}
# the published parser has drop_path, but its model uses model_args' drop_path_rate if there is one
FALLBACK = {"drop_path": "drop_path_rate"}


def _all(names, text):
    return dict.fromkeys(names.split(), text)


_MIXED = "samples are not mixed here; leave it out"
_AUGMENTATION = "training crops, rotates and, with --mirror, mirrors; leave it out"
REPLACED = {
    **_all("world_size rank local_rank gpu distributed dist_on_itp dist_url dist_backend", "torchrun tells the processes"),
    **_all("num_classes nb_classes num_joints", "the data tell it; for --eval the checkpoint does"),
    **_all("mask_ratio_inter mask_ratio_intra", "no published model reads it; --mask_ratio"),
    **_all("cutmix_minmax mixup_prob mixup_switch_prob mixup_mode", _MIXED),
    **_all("remode recount resplit", _AUGMENTATION),
    **_all("ngpus nodes timeout job_dir partition use_volta32 comment", "torchrun, or scripts/slurm.sh"),
    **_all("cls_token global_pool", "there is no class token; --readout says how features are pooled for a linear probe"),
    **_all(
        "train_feeder_args val_feeder_args test_feeder_args model_args",
        "its keys are separate options (--help), or go into the file of --config",
    ),
    "feeder": "--data_path or --dataset; --data_ratio for a share of it",
    "model": "--method and --target; its size: --dim_feat, --depth, --num_heads",
    "input_size": "--num_frames; the joints are the data's",
    "drop_path": "--drop_path_rate (the published model has that of model_args, too)",
    "blr": "--lr, which is blr × samples per update / 256",
    "config": "--config",
    "start_epoch": "--resume, which goes on after the checkpoint's epoch",
    "pin_mem": "memory is pinned wherever there is a GPU; leave it out",
    "split": "--data_path holds both, training and test set",
    "protocol": "main_linprobe.py and main_finetune.py",
    "use_mmap": "data are always mapped; leave it out",
}
OF_FEEDER = {
    **_all("random_choose random_shift random_move normalization", _AUGMENTATION),
    "debug": "--data_ratio takes a share of the samples",
}
UNSUPPORTED = OF_FEEDER | _all("mixup cutmix", _MIXED) | _all("reprob aa color_jitter", _AUGMENTATION)


# options of timm's and other scripts, on a command line only
ELSEWHERE = {
    **_all("amp fp16 bf16", "--enable_amp"),
    **_all("opt optimizer", "it belongs to the stage: AdamW, in a linear probe SGD; --lr, --betas, --momentum, --weight_decay"),
    **_all("sched scheduler", "a cosine from --lr to --min_lr, or --lr_steps"),
    **_all("data_dir data_root root", "--data_path FILE.npz or --dataset NAME"),
    **_all("pretrained checkpoint ckpt weights initial_checkpoint", "--finetune FILE, or --eval FILE for a classifier"),
    **_all("gpus gpu_ids", "torchrun --nproc_per_node N, or GPUS=N with the launch scripts; --device cuda:0 for one"),
    **_all("wd", "--weight_decay"),
    **_all("workers", "--num_workers"),
    **_all("bs", "--batch_size"),
}


def replacement(word):
    """What to use instead of a published option on a command line ('--dist_url=env://'); None for any other word."""
    if not word.startswith("-"):
        return None
    name = word.split("=")[0].lstrip("-").replace("-", "_").removeprefix("no_")
    return f"--{NAMES[name]}" if name in NAMES else (REPLACED | UNSUPPORTED | ELSEWHERE).get(name)


def check_feeder_arguments(given):
    """For arguments {name: value} that the published Feeder has and ours has not, such as debug. Raises ValueError for a value
    that would change the samples, TypeError for any other name."""
    for name, value in given.items():
        if name not in OF_FEEDER and name != "use_mmap":
            raise TypeError(f"Feeder has no argument {name!r}")
        _read(None, name, value)


def translate(content, where, stage=None, complaints=None):
    """A published configuration as {our option: value}.

    where: its name in messages. stage: that of the main that reads it. Raises ValueError for an unknown key, feeder or model,
    unsupported augmentation, contradicting values, or the configuration of another stage. If `complaints` is a list, such entries
    are left out and the messages are added to it.
    """
    if stage == "tune" and complaints is None:
        raise ValueError(f"{where}: is a published configuration, and none of these is for tuning; use --dataset")
    model = content.get("model")
    fixed = MODELS.get(model, {}) if isinstance(model, str) else {}
    ours = dict(fixed)
    for section, key, value in _entries(content):
        if key == "motion_aware_tau" and key in fixed:
            continue
        try:
            read = _read(section, key, value)
            _check_stage(key, value, stage)
            for name, translated in read:
                if ours.setdefault(name, translated) != translated:
                    raise ValueError(f"{name} is {short_repr(ours[name])} in one place and {short_repr(translated)} in another")
            if key == "blr" and content.get("lr") is None and complaints is None:
                raise ValueError(f"blr: give lr; {REPLACED['blr'].removeprefix('--')}")
        except ValueError as error:
            if complaints is None:
                raise ValueError(f"{where}: {error}") from None
            complaints.append(str(error))
    if model == "model_mamp.transformer.Transformer":
        ours.setdefault("motion_aware_tau", 0.75)  # what that model has where its file says nothing
    for key, name in FALLBACK.items():
        if _is_set(content.get(key)):
            ours.setdefault(name, content[key])
    if stage in GPUS and "batch_size" in ours and not {"effective_batch_size", "accum_iter"} & ours.keys():
        ours["effective_batch_size"] = GPUS[stage] * convert(OPTIONS["batch_size"], ours["batch_size"], where)
    return ours


def settings(args, where):
    """({our option: value} from a published checkpoint's `args`, a dict; complaints about those that cannot be read)."""
    complaints, ours = [], {}
    for name, value in translate(args, where, complaints=complaints).items():
        try:
            ours[name] = convert(OPTIONS[name], value, where)
            check({name: ours[name]})
        except ValueError as error:
            ours.pop(name, None)
            complaints.append(str(error).removeprefix(f"{where}: "))
    if args.get("feeder") == SEMI:
        ours |= {"subset": "released", "subset_seed": 0}
    return ours, complaints


def _entries(content):
    """Yield (section or None, key, value) of every entry; `bone` and `vel` of a section become its input_stream."""
    for key, value in content.items():
        if key not in SECTIONS or not isinstance(value, dict):
            yield None, key, value
            continue
        yield from ((key, name, of_section) for name, of_section in value.items() if name not in STREAMS)
        if value.keys() & STREAMS.keys():
            on = [stream for name, stream in STREAMS.items() if _is_set(value.get(name))]
            yield key, "input_stream", " and ".join(on) or "joint"


def _check_stage(key, value, stage):
    """Raise ValueError if an entry shows that this is the configuration of another stage."""
    another = key == "model" and stage in GPUS and bool(MODELS[value]) != (stage == "pretrain")
    if another or (key == "protocol" and stage in GPUS and value != stage):
        raise ValueError(f"{key}: {short_repr(value)} belongs to another stage than {stage}")


def _read(section, key, value):
    """[(our option, value)] for an entry, [] if it sets nothing. Raises ValueError if it cannot be read."""
    if key in ("feeder", "model"):
        names = FEEDERS if key == "feeder" else MODELS
        if not isinstance(value, str) or value not in names:
            raise ValueError(f"{key}: {short_repr(value)} is not known; use one of {', '.join(names)}")
        return []
    if not _is_plain(value):
        raise ValueError(f"{key}: is a {type(value).__name__}, not a plain value")
    value = None if value in ("", "None") else list(value) if isinstance(value, tuple) else value
    if key in SECTIONS and value is not None:
        raise ValueError(f"{key}: is not a list of 'key: value' lines")
    if key in UNSUPPORTED or (section in TESTED and key == "random_rot"):
        if value:
            reason = UNSUPPORTED.get(key, "nothing is drawn at random in a test")
            raise ValueError(
                f"{key}: {short_repr(value)} does not exist here ({reason}); only a value that switches it off is read"
            )
        return []
    if key == "split" and section and (value == "train") == (section in TESTED):
        raise ValueError(f"split: {short_repr(value)} in {section}; here training is on x_train and testing on x_test")
    if key in REPLACED:
        return []
    if key == "eval" and not isinstance(value, str):  # in the published code a flag, here a file
        if value:
            raise ValueError(f"eval: {short_repr(value)}: name the classifier's checkpoint, eval: FILE")
        return []
    name = "test_p_interval" if section in TESTED and key == "p_interval" else NAMES.get(key, key)
    check_known(name, [*OPTIONS, *NAMES, *REPLACED, *UNSUPPORTED], "key")
    if section in TESTED and name not in ("test_p_interval", "num_frames", "data_path", "input_stream"):
        raise ValueError(f"{key}: has no meaning in {section}")
    if OPTIONS[name].kind is bool and isinstance(value, int | float) and value in (0, 1):
        value = bool(value)
    return [(name, value)]


def _is_set(value):
    """Whether a value is plain and not None, zero, false or empty."""
    return _is_plain(value) and value not in (None, 0, "", "None")


def _is_plain(value):
    """Whether a value is a YAML scalar or a list of scalars."""
    if isinstance(value, list | tuple):
        return all(_is_plain(v) and not isinstance(v, list | tuple) for v in value)
    return value is None or isinstance(value, str | int | float)
