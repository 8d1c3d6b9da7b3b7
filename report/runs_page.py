"""One page that compares several runs. Runs that differ only in their seed are a group: a line of a table, a colour of the
curves.

Made from each run's result.json, config.yaml and log.jsonl; scores.npz, if there is one, gives the number of classes.
"""

import os
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from report import charts, pages, run_folder, run_page
from util import predictions, results, seeds
from util.options import READOUTS, STAGES, UNLABELLED
from util.validation import one_line, value_text

STAGE_NAMES = run_folder.STAGE_NAMES | {results.COORDINATES: "Coordinates"}
STYLES = {"-": "solid", "--": "dashed", ":": "dotted"}  # line styles, for more groups than colours: matplotlib's and CSS's names


@dataclass
class Group:
    """Runs (util.results.Result) that differ only in their seed, sorted by it."""

    runs: list
    values: dict  # {setting: text}
    method: str
    differing: dict  # {setting: text} of those that differ from the data set's configuration
    unusual: str  # text of those in `differing` in which the groups of this method differ from each other

    @property
    def label(self):
        return ", ".join(filter(None, (self.method, self.unusual)))


def write(path, found, complaints=()):
    """Write the page for util.results.Result's; returns a line for each one left out, after `complaints`. Raises ValueError if no
    run is left.
    """
    path, left_out, logs = Path(path), list(complaints), {}
    left_out += [f"{run.folder}: an evaluation of a checkpoint, not a run" for run in found if run.get("eval")]
    runs, doubles = seeds.without_doubles([run for run in found if not run.get("eval")])
    left_out += [f"{one.folder}: same settings, seed and encoder as {other.folder}" for one, other in doubles]
    if not runs:
        raise ValueError(left_out[0] if left_out else "no finished run")
    for run in runs:
        try:
            logs[run.path] = run_folder.read_log(run.path.parent, run.content)
        except (OSError, ValueError) as error:
            logs[run.path] = []
            left_out.append(f"{run.folder}: no curves, log.jsonl is damaged ({one_line(error)})")
    order, places = (*STAGES, results.COORDINATES), defaultdict(lambda: defaultdict(list))
    for run in sorted(runs, key=lambda run: (order.index(run["stage"]), run["dataset"], seeds.description(run), run["seed"])):
        places[run["stage"], run["dataset"]][seeds.group_key(run)].append(run)
    groups = {place: named(list(members.values())) for place, members in places.items()}
    looks = {}
    for label in dict.fromkeys(group.label for of_place in groups.values() for group in of_place):  # one for all stages
        turn, colour = divmod(len(looks), len(charts.COLOURS))
        looks[label] = charts.COLOURS[colour], list(STYLES)[turn % len(STYLES)]
    chances = {dataset: chance([run for run in runs if run["dataset"] == dataset]) for _, dataset in places}
    shown = [section(*place, of_place, looks, logs, chances, path.resolve().parent) for place, of_place in groups.items()]
    data_sets = [results.name_of(dataset) for dataset in chances]
    pages.write(path, "runs_page.html", sections=shown, runs=len(runs), data_sets=data_sets, left_out=left_out)
    return left_out


def named(members):
    """A Group for each list of runs."""
    methods = [runs[0].method() for runs in members]
    values = [values_of(runs[0]) for runs in members]
    groups = []
    for runs, (method, differing), own in zip(members, methods, values, strict=True):
        others = [value for value, (name, _) in zip(values, methods, strict=True) if name == method]
        differing = {key: own[key] for key in (*differing, *(["precision"] if own["precision"] == "mixed" else []))}
        unusual = {key: text for key, text in differing.items() if any(value.get(key) != text for value in others)}
        groups.append(Group(runs, own, method, differing, results.settings_text(unusual)))
    return groups


def values_of(run):
    """{setting: text} of a run and its encoder."""
    texts = {key: value_text(value) for key, value in run.settings.items()}
    return texts | {"precision": "mixed" if seeds.mixed_precision(run) else "float32"}


def chance(runs):
    """Chance level in percent, from the first scores.npz of the runs; None without one."""
    for run in runs:
        try:
            return 100 / predictions.load(run.path.parent)[0].scores.shape[1]
        except (OSError, ValueError, IndexError):
            continue
    return None


def section(stage, dataset, groups, looks, logs, chances, home):
    """Template values for a stage on a data set. home: the page's folder."""
    if has_accuracy := stage not in UNLABELLED:
        groups = sorted(groups, key=lambda group: -statistics.mean(run.accuracy for run in group.runs))
    runs = [run for group in groups for run in group.runs]
    columns = {"top-1 %": "mean"} if has_accuracy else {"training loss": None}
    if has_accuracy and stage != results.COORDINATES:
        found = [readout for readout in READOUTS if any(run.accuracy_of(readout) is not None for run in runs)]
        columns = {f"top-1 %, {readout}": readout for readout in found} if found != ["mean"] else columns
    keys = {key for group in groups for key in group.values if len({other.values.get(key) for other in groups}) > 1}
    shared = set.intersection(*(set(group.differing.items()) for group in groups))
    where = {f"{run['last'].get('test_samples')} {run['evaluated_on']}" for run in runs if has_accuracy}
    return {
        "title": f"{STAGE_NAMES[stage]} on {results.name_of(dataset)}",
        "has_accuracy": has_accuracy,
        "where": " or ".join(sorted(where)),
        "chance": chances[dataset] if has_accuracy else None,
        "shared": results.settings_text(dict(sorted(shared))),
        "columns": columns,
        "rows": [row(group, columns, looks[group.label], home) for group in groups],
        "curves": curves(groups, looks, logs),
        "settings": [(key, [group.values.get(key, "–") for group in groups]) for key in sorted(keys)],
    }


def row(group, columns, look, home):
    """Template values for a group's line of the table."""
    cells = {}
    for head, readout in columns.items():
        numbers = [run.accuracy_of(readout) if readout else number_of(run["last"].get("train_loss")) for run in group.runs]
        digits = 1 if readout else 4
        each = [
            {"text": seeds.number(value, digits=digits) or "–", "page": page_of(run, home)}
            for value, run in zip(numbers, group.runs, strict=True)
        ]
        mean = seeds.mean_and_deviation([value for value in numbers if value is not None])
        cells[head] = {"mean": seeds.number(*mean, digits=digits), "each": each}
    of_runs = [run["seed"] for run in group.runs]
    look = {"colour": look[0].replace("#000000", "currentColor"), "border": STYLES[look[1]]}
    return {"group": group, "count": len(of_runs), "seeds": of_runs, "cells": cells, **look}


def page_of(run, home):
    """A run's own page, relative to the folder `home`; None if it has none."""
    page = run.path.parent / run_page.FILE
    return Path(os.path.relpath(page, home)).as_posix() if page.is_file() else None


def number_of(value):
    """A value of result.json or log.jsonl if it is a number, else None."""
    return value if isinstance(value, int | float) else None


def curves(groups, looks, logs):
    """[SVG]: training loss (for pre-training, a chart for each method and target), and test accuracy."""
    by_target = defaultdict(list)
    for group in groups:
        pretrained = group.runs[0]["stage"] == "pretrain"
        by_target[(group.values["method"], group.values.get("target")) if pretrained else None].append(group)
    judged_on = " or ".join(sorted({str(run.get("evaluated_on")) for group in groups for run in group.runs}))
    drawn = []
    for some, key, quantity in (
        *((some, "train_loss", "training loss") for some in by_target.values()),
        (groups, "test_acc1", f"{judged_on} accuracy, %"),
    ):
        lines = {
            group.label: [
                [(line["epoch"] + 1, line[key]) for line in logs[run.path] if number_of(line.get(key)) is not None]
                for run in group.runs
            ]
            for group in some
        }
        drawn.append(charts.curves_of_runs(lines, quantity, looks))
    return list(filter(None, drawn))
