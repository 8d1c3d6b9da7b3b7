"""report.html of a finished run: one page that needs nothing but itself, made of what the run left in its folder.

Only result.json and config.yaml have to be there; log.jsonl gives the curves, scores.npz and the data set what was predicted.
"""

import base64
import hashlib
import json
import string
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
import yaml

from feeder.feeder_ntu import Feeder
from report import sections
from util import confusion, distributed, predictions, results
from util.files import write_text
from util.logging import say, tell

FILE = "report.html"
NAMES = {"pretrain": "Pre-training", "linprobe": "Linear probe", "finetune": "Fine-tuning", "retrieval": "Retrieval"}


@dataclass
class Run:
    """What a run left in its folder; `predicted`, `names` and `data` are None where there are none."""

    folder: Path
    result: dict
    options: dict
    log: list  # of dicts, one per epoch
    predicted: predictions.Predictions | None = None
    names: np.ndarray | None = None  # (N,) of the samples
    data: Feeder | None = None
    without: str = ""  # why there are no predictions, or no data

    @property
    def counts(self):
        """(K, K) confusion matrix."""
        return confusion.counts(self.predicted.labels, self.predicted.predicted, self.predicted.scores.shape[1])

    @property
    def class_names(self):
        count = self.predicted.scores.shape[1]
        known = self.predicted.class_names or (self.data.names_of_classes() if self.data else [])
        known = list(map(str, known[:count]))
        return known + [f"class {k}" for k in range(len(known), count)]


def write(folder, data_path=None):
    """Make report.html of the finished run in `folder`; returns its path. Arguments and errors as in `read`."""
    run = read(folder, data_path)
    header, parts = _header(run), []
    for title, section in SECTIONS:
        try:
            html = section(run)
        except Exception as error:  # one picture that fails must not take the others along
            reason = " ".join(str(error).split()) or type(error).__name__
            tell(f"warning: {run.folder / FILE}: no {title.lower()} ({reason})")
            html = f'<p class="warning">Could not be drawn: {escape(reason)}</p>'
        if html:
            parts.append(f"<section><h2>{title}</h2>\n{html}\n</section>")
    script = Path(__file__).with_name("report.js").read_text()
    page = string.Template(Path(__file__).with_name("report.html").read_text()).substitute(
        title=escape(f"{NAMES[run.result['stage']]}: {run.folder.resolve().name}"),
        header=header,
        main="\n".join(parts),
        script=script,
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_text(run.folder / FILE, page.encode(errors="replace").decode())
    return run.folder / FILE


def leave_report(args):
    """report.html of the run that has ended, unless --no-report. The numbers are written by now: whatever goes wrong with the
    page is a warning."""
    if not args.report or not distributed.is_main():
        return
    say("drawing report.html, which takes seconds to minutes")
    try:
        say(f"report: {write(args.output_dir)}")
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        tell(f"warning: {args.output_dir}: no report.html ({reason})")


def read(folder, data_path=None):
    """The Run in a folder; data_path: the npz, if it is no longer where it was.

    Raises FileNotFoundError or ValueError naming what is missing or damaged.
    """
    folder = Path(folder)
    for name in ("result.json", "config.yaml"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: no such file; a finished run has one")
    try:
        result = results.count_from_one(json.loads((folder / "result.json").read_text()))
        options = yaml.safe_load((folder / "config.yaml").read_text())
        NAMES[result["stage"]], result["last"].get, options["data_path"]
        lines = (folder / "log.jsonl").read_text().splitlines() if (folder / "log.jsonl").is_file() else []
        log = [] if result.get("eval") or result["stage"] == "retrieval" else [json.loads(line) for line in lines]
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{folder}: not the folder of a finished run of ours ({' '.join(str(error).split())})") from error
    run = Run(folder, result, options | ({"data_path": data_path} if data_path else {}), log)
    if result["stage"] != "pretrain":
        try:
            run.predicted, run.names = predictions.load(folder)
            _add_data(run)
        except (OSError, ValueError) as error:
            run.without = str(error)
    return run


def _add_data(run):
    val_groups = run.options.get("val_groups", 0)
    data = Feeder(run.options["data_path"], "val" if val_groups else "test", val_groups=val_groups)
    if data.text_labels and run.predicted.class_names:
        data.number_by(run.predicted.class_names)
    if not np.array_equal(data.label[data.indices], run.predicted.labels):
        raise ValueError(f"{run.options['data_path']}: holds other samples than were predicted")
    run.data = data


def _header(run):
    result, last = run.result, run.result["last"]
    what = "evaluation of a checkpoint" if result.get("eval") else run.folder.resolve().name
    made = datetime.fromtimestamp((run.folder / "result.json").stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    cards = []
    if result["stage"] == "pretrain":
        cards += [("train loss, last epoch", f"{last['train_loss']:.4f}"), *_given(result, "labels", "training sequences")]
        speeds = [line["samples_per_s"] for line in run.log if "samples_per_s" in line]
        cards += [("samples per second, median", f"{np.median(speeds):,.0f}")] if speeds else []
    else:
        where = result.get("evaluated_on", "test")
        trained = "epochs" in result and not result.get("eval")
        cards += [("top-1, last epoch" if trained else "top-1", f"{last['test_acc1']:.2f} %")]
        near = "right class among the 5 nearest" if result["stage"] == "retrieval" else "top-5"
        cards += [(near, f"{last['test_acc5']:.2f} %")] if "test_acc5" in last else []
        cards += [
            (f"top-1 of the read-out {key.removeprefix('test_acc1_')}, beside {result.get('readout')}", f"{value:.2f} %")
            for key, value in last.items()
            if key.startswith("test_acc1_")
        ]
        if run.predicted:
            mean = 100 * np.diag(confusion.shares(run.counts))[run.counts.any(1)].mean()
            cards += [("mean over classes", f"{mean:.2f} %"), ("classes", f"{len(run.counts)}")]
        if best := result.get("best"):
            cards += [(f"best epoch ({best['epoch']}), picked by looking at the {where} set", f"{best['test_acc1']:.2f} %")]
        cards += [(f"{where} sequences", f"{last['test_samples']:,}")]
        labelled = "gallery sequences" if result["stage"] == "retrieval" else "labelled sequences"
        cards += _given(result, "labels", labelled)
    cards += _given(result, "epochs", "epochs") + _given(result, "seed", "seed")
    boxes = "".join(
        f'<div class="card{" head" if not k else ""}"><b>{value}</b><span>{escape(name)}</span></div>'
        for k, (name, value) in enumerate(cards)
    )
    title = f"{NAMES[result['stage']]} on {escape(str(result.get('dataset')))}"
    about = f"{escape(what)} · {made} · {escape(_encoder(result))}"
    return f'<h1>{title}</h1><p class="soft">{about}</p><div class="cards">{boxes}</div>'


def _given(result, key, name):
    return [(name, f"{result[key]:,}")] if isinstance(result.get(key), int) else []


def _encoder(result):
    if result["stage"] == "pretrain":
        return f"method {result.get('method')}"
    encoder = result.get("encoder")
    if not encoder:
        return "encoder from random weights"
    method = {"mamp": "MAMP", "skeletonmae": "SkeletonMAE*", "umurl": "UmURL"}.get(encoder.get("method"), "unknown method")
    epoch = f", epoch {encoder['epoch']} of {encoder.get('epochs')}" if isinstance(encoder.get("epoch"), int) else ""
    return f"encoder: {method} on {encoder.get('dataset')}{epoch}"


def _published(run):
    """The rows of the paper whose protocol this run is."""
    if run.result["stage"] == "pretrain":
        return ""
    result = results.read(run.folder / "result.json")
    seen, lines = set(), []
    for cell in results.cells():
        numbers = cell["paper"], cell["release"]
        if any(numbers) and numbers not in seen and results.belongs(result, cell):
            seen.add(numbers)
            where = (escape(cell[key]) for key in ("table", "column", "row"))
            lines.append([*where, *(_percent(number) for number in numbers), _percent(result.accuracy)])
    if lines:
        note = "This run's settings are exactly those of the row; top-1 after the last epoch, one seed."
        heads = ("table", "data", "method", "paper", "release", "this run")
        return f'<p class="soft">{note}</p>' + sections.table(heads, lines, 3)
    name, differs = result.method()
    differs = "".join(f", {key} {' '.join(map(str, v)) if isinstance(v, tuple) else v}" for key, v in sorted(differs.items()))
    what = f"{NAMES[result['stage']].lower()} on {result['dataset']}, {name}{differs}"
    return f'<p class="soft">No published number is about exactly this protocol: {escape(what)}.</p>'


def _percent(value):
    return "" if value is None else f"{value:.1f}"


def _config(run):
    text = escape((run.folder / "config.yaml").read_text())
    return f"<details><summary>config.yaml, with everything resolved</summary><pre>{text}</pre></details>"


def _environment(run):
    rows = [(key, run.result[key]) for key in ("command", "hardware", "processes") if key in run.result]
    rows += list((run.result.get("versions") or {}).items())
    return _facts((name, f"<code>{escape(str(value))}</code>") for name, value in rows)


def _files(run):
    rows = []
    for key, what in (("checkpoint", "checkpoint"), ("encoder", "encoder")):
        known = run.result.get(key) or {}
        if known.get("path"):
            own = run.folder / Path(known["path"]).name
            path = _link(own.name) if key == "checkpoint" and own.is_file() else escape(str(known["path"]))
            rows.append((what, f"{path}<br><code>sha256 {escape(str(known.get('sha256')))}</code>"))
    there = [
        name
        for name in ("result.json", "config.yaml", "log.jsonl", predictions.FILE, "subset.csv")
        if (run.folder / name).is_file()
    ]
    return _facts([*rows, ("beside this page", " · ".join(map(_link, there)))])


def _link(name):
    return f'<a href="{quote(name)}">{escape(name)}</a>'


def _facts(rows):
    body = "".join(f"<tr><th>{escape(name)}</th><td>{html}</td></tr>" for name, html in rows)
    return f'<div class="scroll"><table class="facts"><tbody>{body}</tbody></table></div>'


SECTIONS = (
    ("Beside the paper", _published),
    ("Curves", sections.curves),
    ("Accuracy per class", sections.classes),
    ("Confusion matrix", sections.confusion),
    ("Features", sections.features),
    ("Sequences", sections.skeletons),
    ("Environment", _environment),
    ("Files", _files),
    ("Configuration", _config),
)
