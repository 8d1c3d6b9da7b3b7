"""Configuration: option defaults < stage YAML < data set YAML < the data set's exceptions for the stage < command line."""

import argparse
import difflib
from pathlib import Path

import yaml

from util import distributed
from util.options import GROUPS, OPTIONS, STAGES


def parse(stage, argv=None):
    """Options of `stage` from --config, --dataset and the rest of the command line, as a Namespace.

    Raises ValueError or FileNotFoundError in one line naming file and key: unknown key (with the nearest known one), value of
    another type, unreadable YAML.
    """
    parser = build_parser(stage)
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        name = unknown[0].split("=")[0].lstrip("-")
        _known(name, list(vars(given)), "option")
        raise ValueError(f"option {unknown[0]!r} does not belong here")
    given = vars(given)
    values = {o.name: o.default for o in OPTIONS.values() if stage in o.stages}
    if given["config"]:
        values |= read_yaml(given["config"], stage)
    if given["dataset"]:
        values |= read_yaml(given["dataset"], stage)
    values |= {k: v for k, v in given.items() if v is not None and k not in ("config", "dataset")}
    values["output_dir"] = values["output_dir"] or f"output/{stage}"  # one stage must not overwrite another's checkpoints
    args = argparse.Namespace(stage=stage, **values)
    for name in ("epochs", "batch_size", "effective_batch_size", "accum_iter", "num_frames", "min_frames", "motion_stride",
                 "dim_in", "dim_feat", "depth", "num_heads", "t_patch_size", "decoder_dim_feat", "decoder_depth", "head_dim",
                 "eval_freq", "save_freq", "print_freq", "k"):  # fmt: skip
        value = getattr(args, name, None)
        if value is not None and value < 1:
            raise ValueError(f"{name} {value}: at least 1")
    if not 0 < getattr(args, "mask_ratio", 0.5) < 1:
        raise ValueError(f"mask_ratio {args.mask_ratio}: a share of the tokens between 0 and 1")
    for name, lengths in (("betas", (2,)), ("rot_theta", (1, 3)), ("train_p_interval", (1, 2)), ("test_p_interval", (1,))):
        values = getattr(args, name, None)
        if values is not None and len(values) not in lengths:
            raise ValueError(f"{name} {' '.join(map(str, values))}: takes {' or '.join(map(str, lengths))} number(s)")
    if args.data_path is None:
        raise ValueError("data_path: no data set given; use --dataset config/dataset/NAME.yaml or --data_path FILE.npz")
    return args


def build_parser(stage):
    """argparse parser of a stage, grouped, defaults shown; values not given on the command line stay None."""
    parser = argparse.ArgumentParser(usage="%(prog)s [--config YAML] [--dataset YAML] [options]", allow_abbrev=False)
    parser.add_argument("--config", metavar="YAML", help=f"the stage's settings, e.g. config/{stage}.yaml")
    parser.add_argument("--dataset", metavar="YAML", help="the data set's, e.g. config/dataset/ntu60_xsub.yaml")
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            if stage not in option.stages:
                continue
            shown = " ".join(map(str, option.default)) if option.many else option.default
            extra = {"default": None, "help": option.help + ("" if shown is None else f" [{shown}]")}
            if option.kind is bool:
                extra["action"] = argparse.BooleanOptionalAction
            else:
                extra |= {"type": option.kind, "metavar": option.kind.__name__.upper()}
                if option.choices:
                    extra |= {"choices": option.choices, "metavar": None}
                if option.many:
                    extra["nargs"] = "+"
            group.add_argument(f"--{option.name}", **extra)
    return parser


def read_yaml(path, stage):
    """Values for `stage` in one YAML file; a key `stages: {stage: {...}}` holds exceptions. Errors as in `parse`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such configuration file")
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a configuration is a list of 'key: value' lines")
    exceptions = content.pop("stages", None) or {}
    if not isinstance(exceptions, dict) or not all(isinstance(e or {}, dict) for e in exceptions.values()):
        raise ValueError(f"{path}: stages: is not 'stage: {{key: value, ...}}' for each stage that makes an exception")
    for name in exceptions:
        _known(name, STAGES, f"{path}: stage")
    merged = content | (exceptions.get(stage) or {})
    for others in exceptions.values():
        for key in others or {}:
            _known(key, OPTIONS, f"{path}: key")
    for key in merged:
        _known(key, OPTIONS, f"{path}: key")
    return {k: convert(OPTIONS[k], v, path) for k, v in merged.items() if stage in OPTIONS[k].stages}


def _known(name, names, what):
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        raise ValueError(f"{what} {name!r} is not known" + (f"; did you mean {near[0]!r}?" if near else ""))


def convert(option, value, path):
    """A YAML value as the option's type: YAML reads 1e-3 as a string, here it is a number. Raises ValueError."""
    if value is None:
        if option.default is not None:
            raise ValueError(f"{path}: {option.name}: has no value; leave the key out for its default")
        return None
    if option.many:
        return [_scalar(option, v, path) for v in (value if isinstance(value, list) else [value])]
    return _scalar(option, value, path)


def _scalar(option, value, path):
    where = f"{path}: {option.name}: {value!r}"
    if option.choices and value not in option.choices:
        raise ValueError(f"{where} is not one of {', '.join(option.choices)}")
    if option.kind is bool or isinstance(value, bool):
        if option.kind is not bool or not isinstance(value, bool):
            raise ValueError(f"{where} is not {'true or false' if option.kind is bool else 'a ' + option.kind.__name__}")
        return value
    if isinstance(value, (list, dict)):
        raise ValueError(f"{where} is not a single value")
    try:
        number = option.kind(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where} is not a {option.kind.__name__}") from None
    if option.kind is int and number != float(value):
        raise ValueError(f"{where} is not a whole number")
    return number


def set_batches(args):
    """Settle batch_size and accum_iter for this number of processes, so that every update sees effective_batch_size samples.

    Raises ValueError if that cannot be had.
    """
    world, wanted = distributed.world_size(), args.effective_batch_size
    if args.accum_iter is None:
        args.accum_iter = 1
        if wanted is not None:
            if wanted % world:
                raise ValueError(f"effective_batch_size {wanted} is not a multiple of {world} processes")
            args.batch_size = min(args.batch_size, wanted // world)
            args.accum_iter, rest = divmod(wanted, args.batch_size * world)
            if rest:
                raise ValueError(
                    f"effective_batch_size {wanted} is not a multiple of batch_size {args.batch_size} × {world} processes"
                )
    args.effective_batch_size = args.batch_size * args.accum_iter * world
    return args


def save(args, path):
    """Write the resolved options as YAML."""
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(args).items()}
    Path(path).write_text(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
