"""What finished runs say about themselves: result.json and config.yaml beside it, held against the data set's configuration."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from util import config
from util.options import DEFAULT_METHOD, GROUPS, OPTIONS, STAGES

PAPER = yaml.safe_load((config.FOLDER / "paper.yaml").read_text())
# what may differ between runs of one protocol: where and how they were computed, and the seeds they are averaged over
SUBSET = ("data_ratio", "subset", "subset_seed")
FREE = {option.name for option in GROUPS["run"]} | {
    "stage",
    "dataset",
    "subset_seed",
    "batch_size",
    "accum_iter",
    "data_on_device",
    "finetune",
    "eval",
    "eval_freq",
    "dist_eval",
    "save_features",
}
# what a run takes over from its encoder, so that it is said once; everything else of a pre-training is its own
SHARED = {"input_stream", "num_frames", "t_patch_size", "dim_feat", "depth", "num_heads"}

# what scripts/coordinates.py leaves, results of a stage without an encoder; and the options that say something there
COORDINATES = "coordinates"
COORDINATES_KEYS = (
    "dataset",
    "data_path",
    "num_frames",
    "test_p_interval",
    "input_stream",
    "val_groups",
    "data_ratio",
    "subset_seed",
)

# of the keys of result.json that are looked at
REQUIRED = {"dataset": (str,), "seed": (int,), "last": (dict,), "config": (str,)}
OPTIONAL = {"best": dict, "encoder": dict, "checkpoint": dict, "versions": dict, "log": str, "epochs": int, "readout": str}
KINDS = REQUIRED | {key: (kind, type(None)) for key, kind in OPTIONAL.items()}


@dataclass
class Result:
    """A finished run: `settings` is what it was made with, `expected` what the data set's configuration says."""

    path: Path  # of result.json
    content: dict
    options: dict  # config.yaml
    settings: dict
    expected: dict

    def __getitem__(self, key):
        return self.content[key]

    @property
    def encoder(self):
        return self.content.get("encoder") or {}

    @property
    def accuracy(self):
        return self["last"].get("test_acc1")

    def accuracy_of(self, readout):
        """That of a read-out, whether it is the headline or stands beside it; None if it was not made. What has no read-outs
        (UmURL, fine-tuning) has its accuracy as 'mean', coordinates theirs as any."""
        if self["stage"] == COORDINATES:
            return self.accuracy
        headline = self.content.get("readout") or "mean"
        return self.accuracy if readout == headline else self["last"].get(f"test_acc1_{readout}")

    def fits(self, runs):
        """Whether this is a run of the data set's configuration but for the settings in `runs`."""
        return self.settings == self.expected | runs

    def method(self):
        """Name of the pre-training in paper.yaml, and the settings that remain to be told: (str, dict)."""
        differs = {k: v for k, v in self.settings.items() if k not in self.expected or self.expected[k] != v}
        if self["stage"] == COORDINATES:
            return f"coordinates, {self['method']}", differs
        fitting = [method for method in PAPER["methods"].values() if method["runs"].items() <= differs.items()]
        method = max(fitting, key=lambda method: len(method["runs"]))
        return method["name"], {k: v for k, v in differs.items() if k not in method["runs"]}


def cells():
    """Every cell of the paper's tables: table, row, column, the stage and dataset of its runs, the settings they differ in (None
    for other people's rows), and the numbers of paper and release or None.
    """
    for table in PAPER["tables"]:
        for number, column in enumerate(table["columns"]):
            column = {"data": column} if isinstance(column, str) else column
            for row in table["rows"]:
                method = PAPER["methods"].get(row.get("method"), {"runs": row.get("runs")})
                runs = method["runs"]
                if runs is not None:
                    runs = table.get("runs", {}) | column.get("runs", {}) | runs
                yield {
                    "table": table["title"],
                    "row": str(row.get("name", method.get("name"))),
                    "column": column.get("name") or name_of(column["data"]),
                    "stage": column.get("stage", table.get("stage")),
                    "dataset": column["data"],
                    "runs": runs,
                    **{who: (row.get(who) or {number: None})[number] for who in ("paper", "release")},
                }


def belongs(result, cell):
    """Whether a run's number stands in a cell: exactly its protocol, and judged on the test set after training."""
    own = (result["stage"], result["dataset"]) == (cell["stage"], cell["dataset"])
    return own and cell["runs"] is not None and not result.content.get("eval") and result.fits(cell["runs"])


def name_of(dataset):
    return PAPER["data"].get(dataset, {}).get("name", dataset)


def find(folders):
    """(results, complaints): every result.json below the folders, by path; one line for each that is not one of ours."""
    results, complaints = [], []
    for path in sorted({p.resolve() for folder in folders for p in Path(folder).rglob("result.json")}):
        try:
            results.append(read(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            complaints.append(f"{shown(path)}: not the result of a run of ours ({reason})")
    return results, complaints


def read(path):
    """The Result in a result.json. Raises ValueError, KeyError or the like if it is damaged or somebody else's."""
    content = count_from_one(json.loads(path.read_text()))
    if content["stage"] not in (*STAGES, COORDINATES):
        raise ValueError(f"stage {content['stage']!r}")
    for key, kind in KINDS.items():
        if not isinstance(content.get(key) if type(None) in kind else content[key], kind):
            raise ValueError(f"{key} {content[key]!r}")
    if content.get("best") and not all(isinstance(content["best"][key], int | float) for key in ("test_acc1", "epoch")):
        raise ValueError(f"best {content['best']!r}")
    accuracy = content["last"].get("test_acc1", 0 if content["stage"] == "pretrain" else None)
    if not isinstance(accuracy, int | float) or not 0 <= accuracy <= 100:
        raise ValueError(f"test_acc1 {accuracy!r}")
    for key, value in content["last"].items():
        if key.startswith("test_acc1_") and not (isinstance(value, int | float) and 0 <= value <= 100):
            raise ValueError(f"{key} {value!r}")
    options = yaml.safe_load((path.parent / content["config"]).read_text())
    if options["stage"] != content["stage"]:
        raise ValueError(f"{content['config']} beside it is of the stage {options['stage']!r}")
    settings, expected = of_stage(options)
    if content.get("eval"):
        settings["eval"] = Path(options["eval"]).name
    elif content["stage"] != "pretrain":
        settings["evaluated_on"], expected["evaluated_on"] = content["evaluated_on"], "test"
        own, usual = ({}, {}) if content["stage"] == COORDINATES else of_encoder(content, options)
        settings, expected = settings | own, expected | usual
    return Result(path, content, options, settings, expected)


def count_from_one(content):
    """A result's dict with the epochs of `best` and `encoder` counted from 1, as everywhere that people read. Checkpoints, their
    names and log.jsonl count from 0, as published; so did the result.json of older runs, which do not say how they count."""
    if content.get("epochs_counted_from") == 1:
        return content
    parts = {key: content[key] for key in ("best", "encoder") if isinstance(content.get(key), dict)}
    known = {key: part | {"epoch": part["epoch"] + 1} for key, part in parts.items() if type(part.get("epoch")) is int}
    return content | known | {"epochs_counted_from": 1}


def of_stage(options):
    """(settings, expected) of the run itself: its config.yaml, and what the configuration files say today."""
    stage, dataset, method = options["stage"], options["dataset"], options.get("method", DEFAULT_METHOD)
    usual = defaults("linprobe" if stage == COORDINATES else stage, dataset, options["data_path"], method)
    if stage == COORDINATES:
        usual = {key: usual[key] for key in COORDINATES_KEYS if key != "dataset"}
    if stage == "finetune" and not options["finetune"]:
        usual = usual | {"layer_decay": 1.0}  # from scratch, all layers learn alike
    expected = {k: plain(v) for k, v in usual.items() if k not in FREE}
    settings = {k: plain(options.get(k, OPTIONS[k].default)) for k in expected}  # older runs lack newer options
    for values in (settings, expected):
        values["data_path"] = Path(values["data_path"]).name
    if stage != COORDINATES:
        settings["method"], expected["method"] = method, DEFAULT_METHOD  # so that another one is named
    return settings, expected


def of_encoder(content, options):
    """(settings, expected) of the pre-training that was judged; what it shares with the run is named only where it differs."""
    encoder = content["encoder"]
    if encoder is None:
        return {"encoder": "none"}, {}
    if encoder["stage"] != "pretrain":
        return {"encoder": f"from {encoder['stage']}"}, {}
    method = options.get("method", DEFAULT_METHOD)
    told = ("dataset", "epoch", "epochs", *(("target",) if method == "mamp" else ()))
    if any(encoder[key] is None for key in told):
        return {"encoder": "of unknown origin"}, {}
    dataset = config.npz_names().get(encoder["dataset"], encoder["dataset"])
    usual = defaults("pretrain", dataset, dataset + ".npz", method)
    judged = encoder["epochs"]
    if encoder["epochs"] == usual["epochs"]:
        judged = PAPER["data"].get(dataset, {}).get("encoder_epoch", judged - 1) + 1  # there the number of a checkpoint
    settings = {"pretrain_dataset": dataset, "pretrain_epoch": encoder["epoch"]}
    expected = {"pretrain_dataset": content["dataset"], "pretrain_epoch": judged}
    if encoder.get("format") == "released":
        settings["encoder"] = "released"
    for key in encoder.keys() & usual.keys() - FREE - {"method"}:
        name = f"pretrain_{key}" if key in options else key
        if key == "data_path":  # wherever it lay
            settings[name], expected[name] = Path(encoder[key]).name, Path(usual[key]).name
        elif key not in SHARED:
            settings[name], expected[name] = plain(encoder[key]), plain(usual[key])
        elif plain(encoder[key]) != plain(options[key]):
            settings[name] = plain(encoder[key])
    return settings, expected


@cache
def defaults(stage, dataset, data_path, method):
    """Options of a stage of a method for a data set that has a file in config/dataset, else for any npz."""
    known = (config.FOLDER / "dataset" / f"{dataset}.yaml").is_file()
    return vars(config.parse(stage, ["--method", method, *(["--dataset", dataset] if known else ["--data_path", data_path])]))


def plain(value):
    """An option's value such that equal ones compare equal: lists and tuples, 1 and 1.0."""
    return tuple(value) if isinstance(value, list | tuple) else value


def shown(path):
    """A path relative to the working directory if it lies below it."""
    path = Path(path).resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def about(args):
    """What every result says of how it was made: the part that comes from the options."""
    keys = (
        "stage",
        "method",
        "dataset",
        "data_path",
        "seed",
        "epochs",
        "input_stream",
        "readout",
        "features",
        "k",
        *SUBSET,
        "effective_batch_size",
    )
    evaluated_on = {} if args.stage == "pretrain" else {"evaluated_on": "validation" if args.val_groups else "test"}
    return {key: getattr(args, key) for key in keys if hasattr(args, key)} | evaluated_on


def read_out(args, metrics=None):
    """What was taken from the encoder, for a message; with the accuracies in `metrics` of the read-outs beside it."""
    what = {"readout": "read-out", "features": "features"}
    found = {key.removeprefix("test_acc1_"): value for key, value in (metrics or {}).items() if key.startswith("test_acc1_")}
    others = " (" + ", ".join(f"{name}: {value:.2f} %" for name, value in found.items()) + ")" if found else ""
    return "".join(f", {name} {getattr(args, key)}{others}" for key, name in what.items() if hasattr(args, key))
