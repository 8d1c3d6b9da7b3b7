"""Read the folder of a finished run, for its page."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from feeder.feeder_ntu import Feeder
from util import confusion, predictions, results
from util.validation import one_line

STAGE_NAMES = {"pretrain": "Pre-training", "tune": "Tuning"}
STAGE_NAMES |= {"linprobe": "Linear probe", "finetune": "Fine-tuning", "retrieval": "Retrieval"}


@dataclass
class Run:
    """The content of a run's folder; `predicted`, `names` and `data` are None if not available."""

    folder: Path
    result: dict
    options: dict
    log: list  # of read_log
    predicted: predictions.Predictions | None = None
    names: np.ndarray | None = None  # (N,) of the samples
    data: Feeder | None = None
    missing: str = ""  # why predictions or data are not available

    @property
    def stage(self):
        return self.result["stage"]

    @property
    def has_accuracy(self):
        """Whether there is an accuracy, as of all downstream stages."""
        return "test_acc1" in self.result["last"]

    @property
    def counts(self):
        """(K, K) confusion matrix."""
        return confusion.counts(self.predicted.labels, self.predicted.predicted, self.predicted.scores.shape[1])

    @property
    def class_names(self):
        count = self.predicted.scores.shape[1]
        names = self.predicted.class_names or (self.data.names_of_classes() if self.data else [])
        return [str(names[k]) if k < len(names) else f"class {k}" for k in range(count)]


def read(folder, data_path=None):
    """The Run in a folder. data_path: the npz, if it has moved.

    Raises FileNotFoundError or ValueError naming what is missing or damaged.
    """
    folder = Path(folder)
    for name in ("result.json", "config.yaml"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file; a finished run has one")
    try:
        result = results.count_from_one(json.loads((folder / "result.json").read_text(encoding="utf-8")))
        options = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        STAGE_NAMES[result["stage"]], result["last"].get, options["data_path"]
        log = read_log(folder, result)
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{folder}: not the folder of a finished run of ours ({one_line(error)})") from error
    run = Run(folder, result, options | ({"data_path": data_path} if data_path else {}), log)
    if run.has_accuracy:
        try:
            run.predicted, run.names = predictions.load(folder)
            run.data = evaluated_data(run)
        except (OSError, ValueError) as error:
            run.missing = str(error)
    return run


def read_log(folder, result):
    """The epochs in log.jsonl; [] for an evaluation, a retrieval, or without a log. Raises ValueError for a damaged one."""
    path = Path(folder, "log.jsonl")
    if result.get("eval") or result["stage"] == "retrieval" or not path.is_file():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if isinstance(line, dict) and isinstance(line.get("epoch"), int)]


def feeder(run, split):
    """Feeder of a split of the run's data, with classes numbered as in the run."""
    data = Feeder(run.options["data_path"], split, val_groups=run.options.get("val_groups", 0))
    if data.class_names and run.predicted.class_names:
        data.renumber_classes(run.predicted.class_names)
    return data


def evaluated_data(run):
    """The Feeder of the predicted samples. Raises ValueError if the npz now holds other samples."""
    data = feeder(run, "val" if run.options.get("val_groups") else "test")
    if not np.array_equal(data.label[data.indices], run.predicted.labels):
        raise ValueError(f"{run.options['data_path']}: holds other samples than were predicted")
    return data
