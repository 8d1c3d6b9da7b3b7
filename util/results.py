"""Results of finished runs: result.json and config.yaml, compared with the data set's configuration and the paper's tables."""

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from util import config, config_files
from util.files import files_below
from util.options import DEFAULT_METHOD, DRAW, HOW, METHODS, OPTIONS, STAGES, UNLABELLED
from util.validation import one_line, value_text

PAPER = yaml.safe_load((config_files.FOLDER / "paper.yaml").read_text(encoding="utf-8"))
SUBSET = ("data_ratio", "subset", "subset_seed")
# options that may differ between runs of one protocol: where and how they were computed, and seeds
FREE = {"stage", "dataset", *(option.name for option in OPTIONS.values() if option.role in (HOW, DRAW))}
# settings that a run shares with its encoder's pre-training; named only once
SHARED = {"input_stream", "num_frames", "t_patch_size", "dim_feat", "depth", "num_heads"}

# methods of encoders (provenance.method_name); others were registered by somebody's program
OURS = ("mamp", "skeletonmae", "umurl")

# scripts/coordinates.py writes results of this stage, which has no encoder; these are the options that matter there
COORDINATES = "coordinates"
COORDINATES_KEYS = ("dataset", "data_path", "num_frames", "test_p_interval", "input_stream", "val_groups")
COORDINATES_KEYS += ("data_ratio", "subset_seed")

# types of the keys of result.json that are read
REQUIRED = {"dataset": str, "seed": int, "last": dict, "config": str}
OPTIONAL = {"best": dict, "encoder": dict, "checkpoint": dict, "versions": dict, "log": str, "epochs": int, "readout": str}
OPTIONAL |= {"ridge": dict, "standardised_features": dict}


@dataclass
class Result:
    """A finished run. settings: what it was made with; expected: the same settings by the data set's configuration."""

    path: Path  # of result.json
    content: dict
    options: dict  # config.yaml
    settings: dict
    expected: dict

    def __getitem__(self, key):
        return self.content[key]

    def get(self, key, default=None):
        return self.content.get(key, default)

    @property
    def folder(self):
        """A string, relative to the working directory if it is below it."""
        folder = self.path.parent
        return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)

    @property
    def encoder(self):
        return self.get("encoder") or {}

    @property
    def accuracy(self):
        return self["last"].get("test_acc1")

    def accuracy_of(self, readout):
        """Accuracy of a read-out, the headline or another; None if there is none. UmURL and fine-tuning, which have no read-outs,
        count as 'mean', coordinates as every read-out."""
        if self["stage"] == COORDINATES or readout == (self.get("readout") or "mean"):
            return self.accuracy
        return self["last"].get(f"test_acc1_{readout}")

    def ridge_accuracy_of(self, readout):
        """The same of ridge regression, which a linear probe without augmentation leaves, too."""
        if self["stage"] == COORDINATES:
            return self.accuracy
        return self._of_readout(self.get("ridge") or {}, readout)

    def standardised_accuracy_of(self, readout):
        """The same of 1-NN on standardised features, which retrieval and 1-NN on coordinates leave, too."""
        found = self.get("standardised_features") or {}
        if self["stage"] == COORDINATES:
            return found.get(COORDINATES)
        return self._of_readout(found, readout)

    def _of_readout(self, found, readout):
        """A read-out's value in {name: value}; UmURL's only one counts as 'mean'."""
        return found.get(readout) if self.get("readout") or readout != "mean" else next(iter(found.values()), None)

    def fits(self, runs):
        """Whether the settings are exactly the data set's configuration changed by `runs`."""
        return self.settings == self.expected | runs

    def method(self):
        """(name of the method in config/paper.yaml, {setting: value} of what else differs from the configuration)."""
        differing = {k: v for k, v in sorted(self.settings.items()) if k not in self.expected or self.expected[k] != v}
        if self["stage"] == COORDINATES:
            return f"coordinates, {self['method']}", differing
        fitting = [method for method in PAPER["methods"].values() if method["runs"].items() <= differing.items()]
        method = max(fitting, key=lambda method: len(method["runs"]))
        return method["name"], {k: v for k, v in differing.items() if k not in method["runs"]}


def settings_text(settings):
    """'lr 0.3, lr_steps 120 140'"""
    return ", ".join(f"{key} {value_text(value)}" for key, value in settings.items())


def cells():
    """Yield every cell of the paper's tables: table, row, column, stage and dataset of its runs, `runs`, the settings that differ
    from the configuration (None for other methods' rows), and the numbers of paper and release or None.
    """
    for table in PAPER["tables"]:
        for number, column in enumerate(table["columns"]):
            column = column if isinstance(column, dict) else {"data": column}
            for row in table["rows"]:
                row = PAPER["methods"].get(row.get("method"), {}) | row
                runs = table.get("runs", {}) | column.get("runs", {}) | row["runs"] if "runs" in row else None
                yield {
                    "table": table["title"],
                    "row": str(row["name"]),
                    "column": column.get("name") or name_of(column["data"]),
                    "stage": column.get("stage", table.get("stage")),
                    "dataset": column["data"],
                    "runs": runs,
                    **{source: row[source][number] if source in row else None for source in ("paper", "release")},
                }


def belongs(result, cell):
    """Whether a run's accuracy belongs in a cell: exactly its protocol, on the test set, and not from --eval."""
    same = (result["stage"], result["dataset"]) == (cell["stage"], cell["dataset"])
    return same and cell["runs"] is not None and not result.get("eval") and result.fits(cell["runs"])


def name_of(dataset):
    return PAPER["data"].get(dataset, {}).get("name", dataset)


def find(folders):
    """(results, complaints): every result.json below the folders, sorted by path; a line for each that cannot be read. Raises
    FileNotFoundError for a folder that does not exist.
    """
    results, complaints = [], []
    for folder in folders:
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    below = (path.resolve() for folder in folders for path in files_below(folder) if path.name == "result.json")
    for path in sorted(set(below)):
        try:
            results.append(read(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else one_line(error)
            where = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
            complaints.append(f"{where}: not the result of a run of ours ({reason})")
    return results, complaints


def read(path):
    """Read a result.json. Raises ValueError, KeyError or the like if it is damaged or another program's."""
    content = count_from_one(json.loads(path.read_text(encoding="utf-8")))
    check_content(content)
    stage, options = content["stage"], yaml.safe_load((path.parent / content["config"]).read_text(encoding="utf-8"))
    if options["stage"] != stage:
        raise ValueError(f"{content['config']} beside it is of the stage {options['stage']!r}")
    if options.get("method", DEFAULT_METHOD) not in METHODS:
        raise ValueError(f"of the method {options['method']!r}, which a program of somebody's own has added")
    settings, expected = run_settings(options)
    if content.get("eval"):
        settings["eval"] = Path(options["eval"]).name
    elif stage not in UNLABELLED:
        settings["evaluated_on"], expected["evaluated_on"] = content["evaluated_on"], "test"
    if stage not in ("pretrain", COORDINATES) and not (content.get("eval") and content["encoder"] is None):
        of_encoder, usual = encoder_settings(content, options)
        settings, expected = settings | of_encoder, expected | usual
    return Result(path, content, options, settings, expected)


def check_content(content):
    """Raises ValueError or KeyError for a key of result.json that is missing or of the wrong type."""
    if content["stage"] not in (*STAGES, COORDINATES):
        raise ValueError(f"stage {content['stage']!r}")
    for key, kind in (REQUIRED | {key: kind for key, kind in OPTIONAL.items() if content.get(key) is not None}).items():
        if not isinstance(content[key], kind):
            raise ValueError(f"{key} {content[key]!r}")
    best, last = content.get("best"), content["last"]
    if best and not all(isinstance(best[key], int | float) for key in ("test_acc1", "epoch")):
        raise ValueError(f"best {best!r}")
    accuracies = {key: value for key, value in last.items() if key.startswith("test_acc1")}
    for key, value in ({} if content["stage"] in UNLABELLED else {"test_acc1": None} | accuracies).items():
        if not isinstance(value, int | float) or not 0 <= value <= 100:
            raise ValueError(f"{key} {value!r}")


def count_from_one(content):
    """A result's dict with the epochs of `best` and `encoder` counted from 1. Checkpoints, their names and log.jsonl count from
    0, as published; so did older result.json files, which have no `epochs_counted_from`."""
    if content.get("epochs_counted_from") == 1:
        return content
    parts = {key: content[key] for key in ("best", "encoder") if isinstance(content.get(key), dict)}
    counted = {key: part | {"epoch": part["epoch"] + 1} for key, part in parts.items() if type(part.get("epoch")) is int}
    return content | counted | {"epochs_counted_from": 1}


def run_settings(options):
    """(settings, expected) of the run itself: from its config.yaml, and from the configuration files."""
    stage, method = options["stage"], options.get("method", DEFAULT_METHOD)
    usual = config.configured("linprobe" if stage == COORDINATES else stage, method, options["dataset"], options["data_path"])
    if stage == "finetune" and not options["finetune"] and not options.get("eval"):
        usual = usual | {"layer_decay": 1.0}  # from scratch, all layers have the same learning rate
    keys = COORDINATES_KEYS if stage == COORDINATES else usual
    expected = {k: usual[k] for k in keys if k not in FREE}
    settings = {k: options.get(k, OPTIONS[k].default) for k in expected}  # older runs lack newer options
    for values in (settings, expected):
        values["data_path"] = Path(values["data_path"]).name  # in any folder
    if stage != COORDINATES:
        settings["method"], expected["method"] = method, DEFAULT_METHOD  # so that another method is named
    return settings, expected


def encoder_settings(content, options):
    """(settings, expected) of the encoder's pre-training; those in SHARED only if they differ from the run's."""
    encoder = content["encoder"]
    if encoder is None:
        return {"encoder": "none"}, {}
    if encoder["stage"] not in UNLABELLED:
        return {"encoder": f"from {encoder['stage']}"}, {}
    tuned, as_usual = {"encoder": "tuned"} if encoder["stage"] == "tune" else {}, {}
    if tuned:  # judge the pre-training that it began with, whose epoch result.json counts from 0
        epoch = encoder.get("pretrain_epoch")
        encoder = encoder | {"epoch": None if epoch is None else epoch + 1}
    method = options.get("method", DEFAULT_METHOD)
    needed = ("dataset", "epoch", "epochs", *(("target",) if method == "mamp" else ()))
    if any(encoder[key] is None for key in needed):
        return {"encoder": "tuned, of unknown origin" if tuned else "of unknown origin"}, {}
    dataset = config_files.npz_names().get(encoder["dataset"], encoder["dataset"])
    usual = config.configured("pretrain", method, dataset, dataset + ".npz")
    usual_epoch = encoder["epochs"]
    if usual_epoch == usual["epochs"]:  # the paper's schedule: the checkpoint that it evaluates, whose number counts from 0
        usual_epoch = PAPER["data"].get(dataset, {}).get("encoder_epoch", usual_epoch - 1) + 1
    if tuned:
        of_tuning = config.configured("tune", method, content["dataset"], options["data_path"])
        as_usual = {f"tune_{key}": value for key, value in of_tuning.items() if f"tune_{key}" in encoder}
        tuned |= {key: encoder[key] for key in as_usual}
    settings = {"pretrain_dataset": dataset, "pretrain_epoch": encoder["epoch"]} | tuned
    expected = {"pretrain_dataset": content["dataset"], "pretrain_epoch": usual_epoch} | as_usual
    if encoder.get("format") == "released":
        settings["encoder"] = "released"
    if "initial_weights" in encoder:
        settings["pretrain_from"] = encoder["initial_weights"]
    if encoder.get("method") not in (None, *OURS):
        settings["pretrain_method"] = encoder["method"]
    for key in encoder.keys() & usual.keys() - FREE - {"method"}:
        name = f"pretrain_{key}" if key in options else key
        if key == "data_path":
            settings[name], expected[name] = Path(encoder[key]).name, Path(usual[key]).name
        elif key not in SHARED:
            settings[name], expected[name] = encoder[key], usual[key]
        elif encoder[key] != options[key]:
            settings[name] = encoder[key]
    return settings, expected


def evaluated_on(args):
    """The samples that accuracies are measured on: 'test', or 'validation' with --val_groups."""
    return "validation" if args.val_groups else "test"


def how_made(args):
    """The options that result.json repeats, and what was evaluated on."""
    keys = ("stage", "method", "dataset", "data_path", "seed", "epochs", "input_stream", "readout", "features", "k")
    keys += (*SUBSET, "effective_batch_size")
    evaluated = {} if args.stage in UNLABELLED else {"evaluated_on": evaluated_on(args)}
    return {key: getattr(args, key) for key in keys if hasattr(args, key)} | evaluated


def accuracies_text(accuracies):
    """{name: accuracy} -> 'mean: 68.32 %, per_joint: 69.41 %'."""
    return ", ".join(f"{name}: {value:.2f} %" for name, value in accuracies.items())


def readout_text(args, metrics=None):
    """', read-out mean (per_joint: 68.32 %, statistics: 69.41 %)' or ', features multi', for a message. metrics: those of the
    other read-outs, too."""
    what = {"readout": "read-out", "features": "features"}
    found = {key.removeprefix("test_acc1_"): value for key, value in (metrics or {}).items() if key.startswith("test_acc1_")}
    others = f" ({accuracies_text(found)})" if found else ""
    return "".join(f", {name} {getattr(args, key)}{others}" for key, name in what.items() if hasattr(args, key))
