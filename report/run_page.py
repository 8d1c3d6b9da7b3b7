"""report.html of a finished run: a self-contained page made from the files in its folder.

result.json and config.yaml are required; log.jsonl gives the curves, scores.npz and the data set the predictions.
"""

import argparse
import base64
import hashlib
import io
import shlex
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from markupsafe import Markup

from feeder.skeleton import up_axis
from model import build
from report import METHOD_NAMES, charts, pages, pictures, sequences, skeletons
from report.run_folder import STAGE_NAMES, feeder, read
from util import checkpoint, confusion, console, predictions, results, seeds
from util.files import csv_text
from util.logging import print_always
from util.options import UNLABELLED
from util.run import linprobe_command
from util.validation import one_line

FILE = "report.html"
SKELETONS = 4  # number of moving skeletons of right predictions, and of wrong ones
QUERIES, NEIGHBOURS = 3, 3  # of a retrieval: right queries (and as many wrong ones), neighbours of each
FEWEST_POINTS = 30  # for a t-SNE
PICTURE_DPI = 100
SEED = 0  # of t-SNE and of which skeletons are drawn


def write(folder, data_path=None):
    """Make report.html of the finished run in `folder`; returns its path. Arguments and errors as of `read`."""
    run, sections = read(folder, data_path), dict.fromkeys(SECTIONS)
    for name, section in SECTIONS.items():
        try:
            sections[name] = section(run) if run.predicted or section not in OF_PREDICTIONS else None
        except Exception as error:  # a section that fails must not prevent the others
            print_always(f"warning: {run.folder / FILE}: no {name.replace('_', ' ')} ({one_line(error)})")
    script = (pages.FOLDER / "run_page.js").read_text(encoding="utf-8")
    return pages.write(
        run.folder / FILE,
        "run_page.html",
        run=run,
        **sections,
        stage=STAGE_NAMES[run.stage],
        dataset=results.name_of(run.result.get("dataset")),
        made=datetime.fromtimestamp((run.folder / "result.json").stat().st_mtime).strftime("%Y-%m-%d %H:%M"),
        encoder=encoder(run.result),
        config=(run.folder / "config.yaml").read_text(encoding="utf-8"),
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def encoder(result):
    """Where the encoder comes from, as text."""
    if result["stage"] == "pretrain":
        return f"method {METHOD_NAMES.get(result.get('method'), result.get('method'))}"
    origin = result.get("encoder")
    if not origin:
        return "encoder from random weights"
    method = METHOD_NAMES.get(origin.get("method"), "unknown method")
    epoch = f", epoch {origin['epoch']} of {origin.get('epochs')}" if isinstance(origin.get("epoch"), int) else ""
    return f"encoder: {method} on {origin.get('dataset')}{epoch}"


def headline(run):
    """(number, caption): the loss of a pre-training, else the accuracy."""
    result, last = run.result, run.result["last"]
    if not run.has_accuracy:
        options = [f"{key} {run.options[key]}" for key in ("target", "mask_ratio", "motion_aware_tau") if key in run.options]
        return f"{last['train_loss']:.4f}", " · ".join([f"training loss after {result.get('epochs')} epochs", *options])
    trained = "epochs" in result and not result.get("eval")
    words = [f"top-1 after {result['epochs']} epochs" if trained else "top-1"]
    words += [f"{last['test_samples']:,} {result.get('evaluated_on', 'test')} sequences"]
    words += [f"{100 * run.options.get('data_ratio', 1):g} % of the labels"]
    words += [f"chance {100 / len(run.counts):.3g} %"] if run.predicted else []
    return f"{last['test_acc1']:.2f} %", " · ".join(words)


def numbers(run):
    """[(number, caption)] of the cards below the headline."""
    result, last, found = run.result, run.result["last"], []
    if "test_acc5" in last:
        found += [(f"{last['test_acc5']:.2f} %", "right class among the 5 nearest" if run.stage == "retrieval" else "top-5")]
    for key, value in last.items():
        if key.startswith("test_acc1_"):
            readout = key.removeprefix("test_acc1_")
            found += [(f"{value:.2f} %", f"top-1 of another read-out, {readout}")]
    for key, name in (("ridge", "ridge regression"), ("standardised_features", "top-1 with standardised features")):
        found += [(f"{value:.2f} %", f"{name}, {readout}") for readout, value in result.get(key, {}).items()]
    if run.predicted:
        mean = 100 * np.diag(confusion.shares(run.counts))[run.counts.any(1)].mean()
        found += [(f"{mean:.2f} %", f"mean over {np.count_nonzero(run.counts.any(1))} classes")]
    if best := result.get("best"):
        where = result.get("evaluated_on", "test")
        found += [(f"{best['test_acc1']:.2f} %", f"best epoch ({best['epoch']}), chosen on the {where} set")]
    if speeds := [line["samples_per_s"] for line in run.log if "samples_per_s" in line]:
        found += [(f"{np.median(speeds):,.0f}", "samples per second, median")]
        update = run.options["effective_batch_size"]
        of_epoch = max(1, result["labels"] // update) * update
        found += [(console.duration(sum(of_epoch / speed for speed in speeds)), "of training, without evaluations")]
    if not run.has_accuracy and result.get("method") == "mamp":
        found += [(f"{run.options['depth']} × {run.options['dim_feat']}", "encoder blocks × width")]
    labels = {"pretrain": "training sequences", "retrieval": "gallery sequences"}.get(run.stage, "labelled sequences")
    counted = {"labels": labels, "epochs": "epochs", "seed": "seed"}
    return found + [(f"{result[key]:,}", name) for key, name in counted.items() if isinstance(result.get(key), int)]


def published(run):
    """{rows: the paper's cells with exactly this run's protocol; other: description of the run, for when there are none}."""
    if not run.has_accuracy:
        return None
    result, rows = results.read(run.folder / "result.json"), {}
    for cell in results.cells():
        if (cell["paper"] or cell["release"]) and results.belongs(result, cell):
            values = (cell["paper"], cell["release"], result.accuracy)
            places = [cell[key] for key in ("table", "column", "row")]
            rows.setdefault(values[:2], [*places, *("" if value is None else f"{value:.1f}" for value in values)])
    return {"rows": list(rows.values()), "other": seeds.description(result)}


def curves(run):
    """[(title, SVG)]."""
    where, readout = run.result.get("evaluated_on", "test"), run.result.get("readout")
    others = {key.removeprefix("test_acc1_"): key for line in run.log[-1:] for key in line if key.startswith("test_acc1_")}
    quantities = {
        "loss": {"train": "train_loss", where: "test_loss"},
        "accuracy, %": {"top-1": "test_acc1", "top-5": "test_acc5"},
        "top-1 of every read-out, %": {readout: "test_acc1", **others} if others else {},
        "learning rate": {"learning rate": "lr"},
        "samples per second": {"samples per second": "samples_per_s"},
        "skipped steps": {"skipped steps": "skipped_steps"},
    }
    drawn = []
    for quantity, keys in quantities.items():
        series = {name: [(line["epoch"] + 1, line[key]) for line in run.log if key in line] for name, key in keys.items()}
        drawn.append(charts.curves(series, quantity))
    return list(filter(None, drawn))


def masks_and_predictions(run):
    """{name: PNG as a data: URL} of a MAMP pre-training: mask and prediction of the first training sequence."""
    if run.stage != "pretrain" or run.options.get("method") != "mamp":
        return None
    args, path = argparse.Namespace(**run.options), run.folder / checkpoint.LAST
    data, joint_data = sequences.feeders(args, "train")
    model = build.pretrainer(args, data, "cpu")[0]
    checkpoint.load_model(model, path, checkpoint.load(path))
    sample = sequences.load_sample(data, joint_data, 0)
    drawn, urls = pictures.of_pretraining(model.eval(), sample, encoder(run.result), args), {}
    for name in ("mask", "prediction"):
        figure, file = drawn[name][0], io.BytesIO()
        figure.savefig(file, format="png", dpi=PICTURE_DPI)
        urls[name] = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return urls


def next_command(run):
    """The linear probe's command line, after a stage without labels."""
    if run.stage not in UNLABELLED:
        return None
    return linprobe_command(argparse.Namespace(**run.options), shlex.split(run.result.get("command", ""))[2:])


def classes(run):
    """Rows of the table of classes, worst first: [{number, name, share, right, samples, taken_for}]."""
    counts, names, rows = run.counts, run.class_names, []
    share = np.diag(confusion.shares(counts))
    for k in sorted(np.flatnonzero(counts.sum(1)), key=lambda k: (share[k], -counts[k].sum())):
        others = np.where(np.arange(len(counts)) == k, 0, counts[k])
        other = f"{names[others.argmax()]} ({others.max()})" if others.any() else ""
        row = {"number": k, "name": names[k], "share": share[k], "right": counts[k, k], "samples": counts[k].sum()}
        rows.append(row | {"taken_for": other})
    return rows


def classes_csv(run):
    """The table of classes as a data: URL of a CSV file, in the order of the classes."""
    lines = [
        {"class": row["number"], "name": row["name"], "accuracy, %": f"{100 * row['share']:.2f}", "right": row["right"]}
        | {"of": row["samples"], "most often taken for": row["taken_for"]}
        for row in sorted(classes(run), key=lambda row: row["number"])
    ]
    return "data:text/csv;charset=utf-8," + quote(csv_text(lines), safe="", errors="replace")


def confusion_matrix(run):
    """{matrix: SVG, wide: whether it needs the full page width, mistakes: rows of the most frequent ones}."""
    counts, names = run.counts, run.class_names
    mistakes = [
        (names[true], names[predicted], f"{n} of {counts[true].sum()}", f"{share:.0%}")
        for true, predicted, n, share in confusion.confused(counts)
    ]
    return {"matrix": charts.confusion_matrix(counts, names), "wide": len(counts) > 30, "mistakes": mistakes}


def features(run):
    """{tsne: SVG, how: caption}: t-SNE of the features in scores.npz."""
    if len(run.predicted.positions) < FEWEST_POINTS:
        return None
    kept, names, perplexity = run.predicted.positions, run.class_names, min(30.0, (len(run.predicted.positions) - 1) / 3)
    points = charts.tsne(run.predicted.features, perplexity, SEED)
    labels, predicted = run.predicted.labels[kept], run.predicted.predicted[kept]
    texts = [
        f"{run.names[i]}: {names[t]}" + (f", predicted {names[p]}" if t != p else "")
        for i, t, p in zip(kept, labels, predicted, strict=True)
    ]
    figure = charts.scatter({"": points}, labels, {k: names[k] for k in np.unique(labels)}, wrong=labels != predicted)
    what = "what neighbours are found with" if run.stage == "retrieval" else "what the last linear map sees"
    some = f"{len(kept):,} of {len(run.names):,}" if len(kept) < len(run.names) else f"all {len(kept):,}"
    how = f"t-SNE of {what}, {some} sequences, hollow where the prediction is wrong; perplexity {perplexity:.0f}, seed {SEED}."
    return {"tsne": charts.to_svg(figure, "t-SNE of features", points, texts), "how": how}


def moving_svg(data, position):
    """Animated SVG of the sequence at a position in a Feeder."""
    side = skeletons.sides(data.joint_names() or [""] * data.num_joints)
    frames = data.frames(position).reshape(-1, data.num_bodies, data.num_joints, 3)
    upright = skeletons.turned(frames, up=up_axis(data.layout, frames, data.file_metadata.get("how")))
    return charts.moving_skeleton(upright, sequences.bones(data), side, data.name(data.indices[position]))


def neighbours(run):
    """[[{svg, name, label, wrong}, ...], ...]: rows of a query and its nearest neighbours in the gallery."""
    if not run.data or run.predicted.neighbours is None:
        return None
    gallery, names, labels, rows = feeder(run, "train"), run.class_names, run.predicted.labels, []
    wrong = gallery.label[gallery.indices[run.predicted.neighbours[:, 0]]] != labels
    random = np.random.RandomState(SEED)
    for at_fault in (True, False):
        for i in random.permutation(np.flatnonzero(wrong == at_fault))[:QUERIES]:
            row = [{"svg": moving_svg(run.data, i), "name": run.names[i], "label": names[labels[i]], "wrong": False}]
            for position in run.predicted.neighbours[i][:NEIGHBOURS]:
                of_row = gallery.indices[position]
                found = {"name": gallery.name(of_row), "label": names[gallery.label[of_row]]}
                row.append(found | {"svg": moving_svg(gallery, position), "wrong": gallery.label[of_row] != labels[i]})
            rows.append(row)
    return rows


def moving_skeletons(run):
    """{'Wrong': [{svg, predicted, probability, truth, name}], 'Right': ...}: a random choice with a fixed seed."""
    if not run.data or run.predicted.neighbours is not None:  # a retrieval shows neighbours
        return None
    data, names = run.data, run.class_names
    labels, predicted, scores = run.predicted.labels, run.predicted.predicted, run.predicted.scores
    random, groups = np.random.RandomState(SEED), {}
    for title, right in (("Wrong", False), ("Right", True)):
        groups[title] = []
        for i in random.permutation(np.flatnonzero((labels == predicted) == right))[:SKELETONS]:
            probability = "" if run.stage == "retrieval" else f", {torch.from_numpy(scores[i]).float().softmax(0).max():.0%}"
            sequence = {"name": run.names[i], "predicted": names[predicted[i]], "probability": probability}
            groups[title].append(sequence | {"truth": names[labels[i]], "svg": moving_svg(data, i)})
    return groups


def files(run):
    """{checkpoints: [{what, path, link, sha256}], beside: names of other files in the folder}."""
    checkpoints = []
    for what in ("checkpoint", "encoder"):
        origin = run.result.get(what) or {}
        if origin.get("path"):
            name = Path(origin["path"]).name
            link = name if what == "checkpoint" and (run.folder / name).is_file() else None
            checkpoints.append({"what": what, "path": origin["path"], "link": link, "sha256": origin.get("sha256")})
    names = ("result.json", "config.yaml", "log.jsonl", predictions.FILE, "subset.csv")
    return {"checkpoints": checkpoints, "beside": [name for name in names if (run.folder / name).is_file()]}


OF_PREDICTIONS = (classes, classes_csv, confusion_matrix, features, neighbours, moving_skeletons)
EVERY_SECTION = (headline, numbers, published, curves, masks_and_predictions, next_command, *OF_PREDICTIONS, files)
SECTIONS = {section.__name__: section for section in EVERY_SECTION}
