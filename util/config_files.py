"""The configuration files: which there are, and the settings that one holds for a stage and a method."""

import re
from contextlib import suppress
from functools import cache
from pathlib import Path

import yaml

from util import console, published
from util.options import DEFAULT_METHOD, METHODS, OPTIONS, STAGES
from util.validation import check_known, convert, one_line

FOLDER = Path(__file__).resolve().parent.parent / "config"


def dataset_file(name):
    """The YAML file for --dataset."""
    if Path(name).suffix or Path(name).is_file():
        return name
    names = sorted(file.stem for file in (FOLDER / "dataset").glob("*.yaml"))
    check_known(name, names, "data set")
    return FOLDER / "dataset" / f"{name}.yaml"


def resolve_path(path):
    """A path from a configuration, relative to the working directory or, if there is no such file, to this repository."""
    there = FOLDER.parent / path
    return str(there) if not Path(path).exists() and there.is_file() else path


@cache
def npz_names():
    """{stem of an npz in lower case: name of the data set in config/dataset}, since published configurations name only the
    npz. Files that name none, or cannot be read, are passed over: it is not they that were asked for."""
    found = {}
    for file in sorted((FOLDER / "dataset").glob("*.yaml"), reverse=True):
        with suppress(OSError, ValueError):
            if npz := read_yaml(file, "pretrain").get("data_path"):
                found[Path(npz).stem.lower()] = file.stem
    return found


def read_yaml(path, stage, method=DEFAULT_METHOD):
    """Values for `stage` in one YAML file. Errors as in `parse`.

    `stages: {stage: {...}}` holds settings of a stage, `methods: {method: {...}}` those of a method, again with `stages`.
    The file may be a published one (see util.published), or the config.yaml of a run.
    """
    path = Path(path)
    if not path.is_file():
        published_folder = re.fullmatch(r"([a-z]+\d+_[a-z]+)_(joint|motion|bone)", path.parent.name)
        hint = f"; --dataset {published_folder[1]} has the settings of the published ones" if published_folder else ""
        raise FileNotFoundError(f"{path}: no such configuration file{hint}")
    try:
        text = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("aliases (*name), which can grow without end, are not read")
        content = yaml.safe_load(text) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not readable as YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a configuration is a list of 'key: value' lines")
    if published.MARKS & content.keys():
        content = published.translate(content, path, stage)
        if stage == "pretrain" and content.get("input_stream") == "motion":
            console.warn_once(
                f"warning: {path}: vel: the published code then takes masks and target from the differences, too; here they "
                "are those of the joints (docs/evaluation.md)"
            )
        if stage == "finetune" and convert(OPTIONS["lr"], content.get("lr", 0.0), path) == 5e-4:
            console.warn_once(
                f"warning: {path}: lr 0.0005 is what the file says; the published runs, as the paper, had --lr 3e-4"
            )
    origin = {}
    if "stage" in content:  # a run's config.yaml, which has every option
        if content.pop("stage") != stage:
            raise ValueError(f"{path}: is the configuration of another stage than {stage}")
        origin = {"dataset": str(content.pop("dataset", ""))}
        if content.get("effective_batch_size"):
            content.pop("accum_iter", None)  # is set again from it, for this number of processes
    merged = {}
    for values in _applying(content, stage, method, path):
        merged = combined(merged, values)
    return origin | {k: convert(OPTIONS[k], v, path) for k, v in merged.items() if OPTIONS[k].belongs(stage, method)}


def _applying(content, stage, method, path):
    """The dicts in a file that apply to a stage and a method; later ones override earlier ones. All other keys are checked,
    too."""
    plain = {key: value for key, value in content.items() if key not in ("stages", "methods")}
    for key in plain:
        check_known(key, OPTIONS, f"{path}: key")
    applying = [plain]
    for kind, names, wanted in (("stages", STAGES, [stage]), ("methods", METHODS, [METHODS[method], method])):
        exceptions = content.get(kind) or {}
        if not isinstance(exceptions, dict) or not all(isinstance(e or {}, dict) for e in exceptions.values()):
            one = kind[:-1]
            raise ValueError(f"{path}: {kind}: is not '{one}: {{key: value, ...}}' for each {one} that makes an exception")
        for name, values in exceptions.items():
            check_known(name, names, f"{path}: {kind[:-1]}")
            values = _applying(values or {}, stage, method, path)
            applying += values if name in wanted else []
    return applying


def has_exceptions_for(path, stage):
    """Whether a configuration file has settings for `stage`; False if it cannot be read (any more)."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        methods = (content.get("methods") or {}).values()
        return any(stage in ((part or {}).get("stages") or {}) for part in (content, *methods))
    except (OSError, ValueError, AttributeError, TypeError, yaml.YAMLError):
        return False


def small_data_hint(args, name):
    """'; config/small.yaml ...' if the option `name` is larger than in that file, else ''."""
    value = read_yaml(FOLDER / "small.yaml", args.stage, args.method).get(name)
    larger = value is not None and getattr(args, name) > value
    return "; config/small.yaml (--config) is for small data" if larger else ""


def combined(values, later):
    """values | later. accum_iter and effective_batch_size determine each other: if `later` has one, the other is dropped."""
    pair = {"accum_iter", "effective_batch_size"}
    given = {key for key in pair if later.get(key) is not None}
    removed = pair - given if given else ()
    return {key: value for key, value in values.items() if key not in removed} | later
