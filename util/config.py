"""Configuration: config/<stage>.yaml < config/<method>.yaml < --config < --dataset < checkpoint < command line.

Within a file, sections for the stage and the method override the rest of it.
"""

import argparse
import shlex
import sys
from functools import cache
from pathlib import Path

import yaml

from util import config_files, console, host, provenance
from util.command_line import build_parser, parse_command_line
from util.config_files import combined, dataset_file, npz_names, read_yaml, resolve_path
from util.files import bare_name, same_file, write_text
from util.options import DEFAULT_METHOD, EXTENDS, METHODS, OPTIONS, WHAT
from util.validation import check, convert, value_text


def parse(stage, argv=None):
    """Options of `stage` from the configuration files, a checkpoint and the command line, as a Namespace.

    With --finetune or --eval, method and model sizes are those of the checkpoint (MAMP's num_frames may differ, since its
    embedding can be resized, and in pre-training the decoder); with --resume FILE only the method. Raises ValueError or
    FileNotFoundError naming file and key: unknown key, wrong type, unreadable YAML, an option of another method, a size that
    contradicts the checkpoint.

    --help and --print_config print the resulting values and end in SystemExit.
    """
    given = parse_command_line(stage, argv)
    wants_help, wants_config = (given.pop(name, False) for name in ("help", "print_config"))
    config, dataset = given.pop("config", None), given.pop("dataset", None)

    def read(method):
        of_method = [config_files.FOLDER / f"{name}.yaml" for name in dict.fromkeys((METHODS[method], method))]
        named = [config, dataset and dataset_file(dataset)]
        values = {}
        for path in (config_files.FOLDER / f"{stage}.yaml", *filter(Path.is_file, of_method), *filter(None, named)):
            values = combined(values, read_yaml(path, stage, method))
        return values

    stated = read(DEFAULT_METHOD) | given
    if given.get("finetune") and stated.get("eval"):
        raise ValueError(f"finetune {given['finetune']}: has no effect with eval {stated['eval']}, of a configuration; give one")
    method, source = stated.get("method", DEFAULT_METHOD), stated.get("eval") or stated.get("finetune")
    held = source or (stated.get("resume") if stated.get("resume") != "auto" else None)
    if held:
        from util import checkpoint  # here, so that torch is imported only if there is a checkpoint

        content = checkpoint.load(held, keep=True)
        encoder = provenance.architecture(content)
        if "method" in stated and METHODS[method] != encoder:
            raise ValueError(f"{held}: holds weights of {encoder}, not of {method}")
        if source and stage != "pretrain":
            method = encoder
        elif "method" not in stated:  # a registered method goes on under its own name
            began_as = provenance.settings(content, held).get("method")
            method = began_as if isinstance(began_as, str) and METHODS.get(began_as) == encoder else encoder
    of_method = {o.name: o.default for o in OPTIONS.values() if o.belongs(stage, method)}
    foreign = [name for name in given if name not in of_method]
    if foreign:
        raise ValueError(f"option {foreign[0]}: is not one of the method {method}")
    values = read(method)
    resolved = "dataset" in values  # --config is the config.yaml of an earlier run
    if dataset:
        values["dataset"] = Path(dataset).stem
    if source:
        values |= _sizes(content, source, stage, given, head=bool(stated.get("eval")))
        values |= _crop(content, source) if stated.get("eval") else {}
    values = of_method | combined(values, given) | {"method": method}
    for name in given:
        for other, needed in OPTIONS[name].only_with.items():
            if values[name] is not False and values.get(other, needed) != needed:
                wanted = f"--{other}" if needed is True else f"--{other} {needed}"
                raise ValueError(f"option {name}: belongs to {wanted}, this is {values[other]}")
    if not values["output_dir"]:  # stages must not overwrite each other's checkpoints, nor --eval the run
        evaluated = values.get("eval")
        values["output_dir"] = str(_beside(evaluated, content, values["data_path"]) if evaluated else f"output/{stage}")
    if values.get("subset_seed", 0) is None:
        values["subset_seed"] = 0 if values["subset"] == "released" else values["seed"]
    if wants_help:
        build_parser(stage, values).print_help()
        sys.exit(0)
    if values["data_path"] is None:
        trained = provenance.settings(content, held).get("data_path") if held else None
        hint = f"; {held} was trained on --data_path {trained}" if trained else ""
        raise ValueError(
            f"data_path: no data set given; use --dataset NAME (a file of config/dataset) or --data_path FILE.npz{hint}"
        )
    if "data_path" not in given:
        values["data_path"] = resolve_path(values["data_path"])
    if not resolved and not dataset:
        stem = bare_name(values["data_path"]).lower()
        values["dataset"] = npz_names().get(stem, stem)
    check(values)
    args = argparse.Namespace(stage=stage, **values)
    surprises = [] if values.get("eval") else [*_surprises(args, given, config, dataset)]
    for line in surprises + (_other_objective(args, content) if source and stage == "pretrain" else []):
        console.warn_once(f"warning: {line}")
    if wants_config:
        print(as_yaml(args), end="")
        sys.exit(0)
    return args


def _beside(path, content, data_path):
    """The folder for an evaluation of a checkpoint: beside it, and one of its own for other data than it was trained on."""
    own, now = (bare_name(str(npz or "")) for npz in (provenance.settings(content, path).get("data_path"), data_path))
    return Path(path).with_name(f"{bare_name(path)}-eval" + (f"-{now}" if own and now and own != now else ""))


def _surprises(args, given, config, dataset):
    """Lines about settings that are probably not meant. config, dataset: --config and --dataset, if given."""
    file = config_files.FOLDER / "dataset" / f"{args.dataset}.yaml"
    of_dataset = read_yaml(file, args.stage, args.method) if file.is_file() and bool(config) == bool(dataset) else {}
    of_config = read_yaml(config, args.stage, args.method) if config and of_dataset else {}
    own = {key: value for key, value in of_dataset.items() if key not in {"data_path", *given}}
    unused = {key: value for key, value in own.items() if getattr(args, key) != value}
    if unused and not dataset:
        yield (
            f"data_path {args.data_path}: is that of --dataset {args.dataset}, but without this option its settings do not "
            f"apply: {_some(unused)}"
        )
    lost = {key: value for key, value in of_config.items() if own.get(key, value) != value}
    if lost:
        yield f"{config}: --dataset {args.dataset} overrides its {_some(lost)} with {_some({key: own[key] for key in lost})}"
    if "min_lr" in given and args.lr_steps:
        steps = " ".join(map(str, args.lr_steps))
        yield f"min_lr {given['min_lr']:g}: has no effect, the learning rate falls in steps (--lr_steps {steps})"
    samples = getattr(args, "effective_batch_size", None)
    if samples and given.get("batch_size", 0) > samples:
        yield f"batch_size {given['batch_size']}: an update has only {samples} samples; see --effective_batch_size"


def _other_objective(args, content):
    """Lines, at most one: what a pre-training from a checkpoint changes of what that was trained for."""
    made, now = provenance.settings(content, args.finetune), vars(args)
    changed = [key for key in ("method", "target", "motion_aware_tau") if key in now and made.get(key, now[key]) != now[key]]
    said = ", ".join(f"{key} {value_text(made[key])}, now {value_text(now[key])}" for key in changed)
    return [f"{args.finetune}: was trained with {said}"] if changed and provenance.stage(content) == "pretrain" else []


def _some(settings):
    """'lr 0.3, epochs 100, ...'"""
    words = [f"{key} {value_text(value)}" for key, value in settings.items()]
    return ", ".join(words[:4]) + (", ..." if len(words) > 4 else "")


def overridden(args):
    """{option: value} of the options that differ from the configuration of the stage and the data set. Without seeds and options
    that only decide where and how fast a run is computed."""
    usual = configured(args.stage, args.method, args.dataset, args.data_path)
    of_protocol = (name for name, option in OPTIONS.items() if option.role in (WHAT, EXTENDS) and name in usual)
    return {name: getattr(args, name) for name in of_protocol if getattr(args, name) != usual[name]}


def differing(made, now):
    """'epochs 400, now 100; ...': up to four settings, {option: value}, that a run was made with and that are others now; '' if
    there are none. Without seeds and options that only decide where and how fast a run is computed."""
    keys = [k for k in now if k in made and k in OPTIONS and OPTIONS[k].role in (WHAT, EXTENDS) and made[k] != now[k]]
    if now.get("effective_batch_size") is None:  # it is set when the run starts
        keys = [key for key in keys if key != "effective_batch_size"]
    files = [k for k in ("finetune", "eval") if made.get(k) and now.get(k) and not same_file(made[k], now[k])]
    return "; ".join(f"{key} {value_text(made[key])}, now {value_text(now[key])}" for key in [*files, *keys][:4])


@cache
def configured(stage, method, dataset, data_path):
    """{option: value} of the configuration of a stage, method and data set. data_path: for a data set that has none."""
    file = config_files.FOLDER / "dataset" / f"{dataset}.yaml"
    named = ["--dataset", dataset] if file.is_file() else []
    named += [] if named and read_yaml(file, stage, method).get("data_path") else ["--data_path", data_path]
    return vars(parse(stage, ["--method", method, *named]))


def check_command_line(stage):
    """Answer --help and --print_config, and refuse unknown options and data sets, in which cases the process ends.

    The mains call this before they import torch, which takes seconds.
    """
    try:
        given = parse_command_line(stage)
        if given.get("dataset"):
            dataset_file(given["dataset"])
        if given.get("help") or given.get("print_config"):
            parse(stage)  # prints and exits
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if not given.get("quiet") and host.is_main():
        print(f"{stage}: starting, which takes some seconds", flush=True)


def _sizes(content, path, stage, given, head):
    """The options of `stage` that the checkpoint determines. Raises ValueError if the command line contradicts them, unless it is
    an option of the decoder: then the checkpoint determines none of these."""
    sizes = {k: v for k, v in provenance.sizes(content, path, head).items() if stage in OPTIONS[k].stages}
    of_decoder = {"decoder", "decoder_dim_feat", "decoder_depth", "query_frames", "projector_dim"} & sizes.keys()
    if any(given.get(key, sizes[key]) != sizes[key] for key in of_decoder):
        sizes = {key: value for key, value in sizes.items() if key not in of_decoder}
    resized = {"num_frames"} if provenance.architecture(content) == "mamp" else set()
    for key, value in sizes.items():
        if key not in resized and given.get(key, value) != value:
            raise ValueError(f"{path}: made with {key} {value}, the command line says {given[key]}")
    return {k: convert(OPTIONS[k], v, path) for k, v in sizes.items()}


def _crop(content, path):
    """The test crop of a classifier, {} if it is not known: its accuracy is that of this crop."""
    crop = provenance.settings(content, path).get("test_p_interval")
    return {} if crop is None else {"test_p_interval": convert(OPTIONS["test_p_interval"], crop, path)}


def set_batches(args):
    """Set batch_size and accum_iter for this number of processes, so that an update has effective_batch_size samples. Raises
    ValueError if that is not possible."""
    from util import distributed

    world, wanted = distributed.world_size(), args.effective_batch_size
    if args.accum_iter is None and wanted is not None:
        if wanted % world:
            raise ValueError(f"effective_batch_size {wanted} is not a multiple of {world} processes")
        args.batch_size = min(args.batch_size, wanted // world)
        args.accum_iter, rest = divmod(wanted, args.batch_size * world)
        if rest:
            raise ValueError(
                f"effective_batch_size {wanted} is not a multiple of batch_size {args.batch_size} × {world} processes; give both"
            )
    args.accum_iter = args.accum_iter or 1
    product = args.batch_size * args.accum_iter * world
    if wanted not in (None, product):
        raise ValueError(
            f"accum_iter {args.accum_iter}: with batch_size {args.batch_size} and {world} processes {product} samples are in an "
            f"update, not effective_batch_size {wanted}; give one of the two"
        )
    args.effective_batch_size = product
    return args


def command(args):
    """The command line of this run; if a main was called from Python, an equivalent one."""
    name = f"main_{args.stage}.py"
    words = sys.argv[1:] if Path(sys.argv[0]).name == name else ["--config", str(Path(args.output_dir, "config.yaml"))]
    return shlex.join(["python", name, *words])


def as_yaml(args):
    """The resolved options as YAML text."""
    return yaml.safe_dump(vars(args), sort_keys=False, allow_unicode=True)


def save(args, path):
    """Write the resolved options as YAML."""
    write_text(path, as_yaml(args))
