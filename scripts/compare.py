"""Compare methods with the same budget: accuracy, parameters, operations and speed, also against baselines without pre-training.

    python -m scripts.compare RUN... [--markdown FILE]          scripts/compare.sh makes the runs and calls this

RUNs are folders with pre-trainings, with linear probes, retrievals and fine-tunings of their encoders or of random ones, and with
results of scripts/coordinates.py. Prints Markdown tables with a row per method, and which methods are not better than
coordinates or their own encoder before training. Refuses runs that are not comparable: other data, labels, seeds or epochs, or an
encoder that is not the last one of a pre-training of the same seed among the RUNs.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="RUN", help="folders to look for result.json in")
    parser.add_argument("--markdown", metavar="FILE", help="also write the output to this file")
    return parser


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_args()

import json
import statistics
from collections import defaultdict

import torch
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from feeder.loader import build_feeder
from model import build
from scripts.tables import markdown_table
from util import console, errors
from util.files import write_text
from util.options import DEFAULT_METHOD, METHODS, OPTIONS, READOUTS, UNLABELLED
from util.results import COORDINATES, PAPER, Result, find, name_of, settings_text
from util.seeds import spread

DOWNSTREAM = ("linprobe", "retrieval", "finetune")
FINETUNING = "Fine-tuning"
TABLES = {  # {title: (stage, accuracy of a result, {read-out: head of its column})}
    "Linear probe": ("linprobe", Result.accuracy_of, READOUTS),
    "Ridge regression on the same features": ("linprobe", Result.ridge_accuracy_of, READOUTS),
    "1-NN": ("retrieval", Result.accuracy_of, READOUTS),
    "1-NN, features standardised": ("retrieval", Result.standardised_accuracy_of, READOUTS),
    FINETUNING: ("finetune", Result.accuracy_of, {"mean": "top-1"}),
}
RIDGE, NEAREST = f"{COORDINATES}, ridge", f"{COORDINATES}, 1-NN"
FREE = {"linprobe": (RIDGE,), "retrieval": (NEAREST,), "finetune": (RIDGE, NEAREST)}  # baselines without pre-training, by stage
UNTRAINED = {"mamp": PAPER["methods"]["none"]["name"], "umurl": PAPER["methods"]["umurl_none"]["name"]}  # by encoder


def main(argv=None):
    args = build_parser().parse_args(argv)
    results, complaints = find(args.folders)
    for line in complaints:
        print(f"warning: {line}", file=sys.stderr)
    text = report([result for result in results if not result.get("eval")])
    print(text)
    if args.markdown:
        write_text(args.markdown, text + "\n")


def report(results):
    """The comparison as Markdown. Raises ValueError, naming the run, for results that are not comparable."""
    downstream = [result for result in results if result["stage"] not in UNLABELLED]
    if not any(result["stage"] in DOWNSTREAM for result in downstream):
        raise ValueError("no linear probe, retrieval or fine-tuning among the runs")
    few = next((result["data_ratio"] for result in downstream if result["stage"] == "finetune"), None)  # share of the labels
    check_comparable(results, downstream, few)
    stages_of = defaultdict(lambda: defaultdict(list))  # method -> stage -> results, by seed
    for result in sorted(results, key=lambda result: result["seed"]):
        for stage in places(result, few):
            stages_of[result.method()[0]][stage].append(result)
    order = (*(method["name"] for method in PAPER["methods"].values()), RIDGE, NEAREST)
    methods = {name: stages_of[name] for name in order if stages_of[name].keys() - {"pretrain"}}
    cells = {
        (name, table, readout): accuracies(stages[stage], accuracy_of, readout)
        for table, (stage, accuracy_of, columns) in TABLES.items()
        for readout in columns
        for name, stages in methods.items()
    }
    blocks = [f"# {name_of(downstream[0]['dataset'])}: methods with the same budget"]
    for table, (_, _, columns) in TABLES.items():
        rows = {name: [spread(cells[name, table, readout]) for readout in columns] for name in methods}
        rows = [(name, *row) for name, row in rows.items() if any(row)]
        share = f", {100 * few:.3g} % of the labels" if table == FINETUNING and few else ""
        blocks += [f"## {table}{share}", markdown_table(("", *columns.values()), rows)] if rows else []
    head = ("", "parameters, encoder", "in pre-training", "GFLOP per sample", "samples/s")
    costs = [(name, *cost(stages)) for name, stages in methods.items() if name not in (RIDGE, NEAREST)]
    blocks += ["## Cost", markdown_table(head, costs)]
    return "\n\n".join([*blocks, "## Notes", *not_better(methods, cells), *notes(methods, downstream)])


def places(result, few):
    """The stages in whose columns a result belongs. Coordinates belong to fine-tuning if they have its share of the labels
    (`few`); with all labels ridge regression belongs to the linear probe, and 1-NN to retrieval."""
    if result["stage"] != COORDINATES:
        return [result["stage"]]
    beside = {"ridge": "linprobe", "1-NN": "retrieval"}[result["method"]]
    return [beside] * (result["data_ratio"] == 1) + ["finetune"] * (result["data_ratio"] == few)


def not_better(methods, cells):
    """Notes on which methods are, in which columns, not better than coordinates or their own encoder without pre-training.
    cells: {(method, table, read-out): accuracies}."""
    worse, better, absent, lacking = [], [], set(), set()
    for name, stages in ((name, stages) for name, stages in methods.items() if stages["pretrain"]):
        untrained = UNTRAINED[METHODS[options_of(stages["pretrain"][0])["method"]]]
        before, judged = len(worse), False
        for table, readout in ((t, r) for (method, t, r), values in cells.items() if method == name and values):
            stage, _, columns = TABLES[table]
            accuracy, judged = statistics.mean(cells[name, table, readout]), True
            others = {other: cells.get((other, table, readout)) for other in (*FREE[stage], untrained)}
            for other in (other for other, values in others.items() if not values):
                if methods.get(other, {}).get(stage):
                    lacking.add(f"{other} ({table}, {columns[readout]})")
                else:
                    absent.add(other)
            best, other = max(((statistics.mean(values), other) for other, values in others.items() if values), default=(-1, ""))
            if best >= accuracy:
                worse.append(f"- {name}: {table}, {columns[readout]}, {accuracy:.1f} against {best:.1f} ({other})")
        better += [name] if judged and len(worse) == before else []
    if worse:
        yield "Not better than a baseline (coordinates, or the own encoder without pre-training):\n\n" + "\n".join(worse)
    if better and not absent | lacking:
        yield f"Better in every column than coordinates and the own encoder without pre-training: {', '.join(better)}."
    if absent:
        yield f"Not among the runs, and so not compared with: {'; '.join(sorted(absent))}."
    if lacking:
        yield f"Numbers that runs of an older version do not have: {'; '.join(sorted(lacking))}."


def check_comparable(results, downstream, few):
    """Raises ValueError naming two runs that are not comparable, and what differs, or one that had more pre-training."""
    for result in results:
        if result["stage"] == "pretrain" and result.encoder:
            raise ValueError(f"{result.folder}: began with the weights of {result.encoder.get('path')}: not comparable")
    check_same(results, "dataset")
    check_same(results, "input_stream")
    check_same(results, "data_path", lambda result: result.settings["data_path"])
    check_same(downstream, "evaluated_on")
    check_same(downstream, "test samples", lambda result: result["last"]["test_samples"])
    for stage in ("pretrain", *DOWNSTREAM):
        column = [result for result in results if stage in places(result, few)]
        check_same(column, "data_ratio", lambda result: result.get("data_ratio", 1))
        check_same(column, "labels")
        if stage in ("pretrain", "finetune"):
            check_same([result for result in column if result["stage"] == stage], "epochs")
        by_seed, by_method = defaultdict(list), defaultdict(list)
        for result in column:
            by_method[result.method()[0]].append(result)
            if result.get("data_ratio", 1) < 1:
                by_seed[result["seed"]].append(result)
        for same_seed in by_seed.values():
            check_same(same_seed, "subset_seed")
        for runs in by_method.values():  # may differ only in their seeds
            for key in runs[0].settings.keys() | runs[-1].settings.keys():
                check_same(runs, key, lambda result, key=key: result.settings.get(key))
    check_encoders(results, downstream)
    check_seeds(results, few)


def check_same(results, what, value_of=None):
    """Raises ValueError unless all results have the same value, by default that of the key `what`."""
    for result in results[1:]:
        one, other = (value_of(each) if value_of else each.get(what) for each in (result, results[0]))
        if one != other:
            raise ValueError(f"{what} {one} in {result.folder}, {other} in {results[0].folder}: not comparable")


def check_encoders(results, downstream):
    """Raises ValueError unless every encoder is the last one of a pre-training of the same seed."""
    pretrained = {(result.get("checkpoint") or {}).get("sha256"): result for result in results if result["stage"] == "pretrain"}
    for result in (result for result in downstream if result.encoder):
        source = pretrained.get(result.encoder.get("sha256"))
        if source is None:
            path = result.encoder["path"]
            raise ValueError(f"{result.folder}: judges {path}, not the last checkpoint of a pre-training among the runs")
        if source["seed"] != result["seed"]:
            raise ValueError(f"{result.folder}: seed {result['seed']} judges the pre-training of seed {source['seed']}")


def check_seeds(results, few):
    """Raises ValueError unless every method has the same seeds in every stage (coordinates with all labels do not depend on
    one)."""
    seeds = defaultdict(list)
    for result in sorted(results, key=lambda result: result["stage"] == COORDINATES):
        if result["stage"] != COORDINATES or result["data_ratio"] == few < 1:
            seeds[f"{result['stage']} of {result.method()[0]}"].append(result["seed"])
    (first, wanted), *others = [(where, sorted(found)) for where, found in seeds.items()]
    for where, found in others:
        if found != wanted:
            raise ValueError(f"seeds {found} in {where}, {wanted} in {first}: every method needs the same ones, each once")


def accuracies(results, accuracy_of, readout):
    """Accuracies of a read-out, by seed; [] if some of the runs do not have it."""
    values = [accuracy_of(result, readout) for result in results]
    return values if None not in values else []


# --- what a method costs ---


def cost(stages):
    """(parameters of the encoder, in pre-training, GFLOP per sample, samples/s) as text, '' without pre-training."""
    example = next(results[0] for stage, results in stages.items() if stage != "pretrain" and results)
    encoder, pretrained = f"{encoder_parameters(options_of(example)):,}", stages["pretrain"]
    if not pretrained:
        return encoder, "", "", ""
    parameters, operations = pretraining_cost(options_of(pretrained[0]))
    mixed = " (mixed precision)" if pretrained[0].options.get("enable_amp") else ""
    logs = [line for result in pretrained for line in (result.path.parent / result["log"]).read_text().splitlines()]
    speed = statistics.median(json.loads(line)["samples_per_s"] for line in logs)
    return encoder, f"{parameters:,}", f"{operations / 1e9:.3g}", f"{speed:.0f}{mixed}"


def options_of(result):
    """The options of a run; older runs lack newer ones."""
    method = result.options.get("method", DEFAULT_METHOD)
    return {o.name: o.default for o in OPTIONS.values() if o.belongs(result["stage"], method)} | result.options


def encoder_parameters(options):
    """Number of parameters of the encoder in a downstream run."""
    args = argparse.Namespace(**options)
    model = build.classifier(args, build_feeder(args, "test", augment=False), num_classes=2)
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(f"{model.head_name}."))


def pretraining_cost(options):
    """(parameters, floating-point operations of one sample, forward and backward) of a pre-training.

    torch's FlopCounterMode counts matrix products and convolutions, on tensors without data. A sample is a sequence with all its
    bodies, for UmURL with its four views and its share of the loss over an update.
    """
    args = argparse.Namespace(**options | {"skip_empty_bodies": False})  # what that saves depends on the values
    data = build_feeder(args, "train", augment=True, views=build.views(args))
    model, _, loss_of = build.pretrainer(args, data, torch.device("cpu"))
    views = (data.views,) if data.views > 1 else ()
    shape = (*views, args.dim_in, args.num_frames, data.num_joints, data.num_bodies)  # of one sample: C, T, V, M
    with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss_of(model, torch.empty(args.effective_batch_size, *shape), None).backward()
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / args.effective_batch_size


# --- how the numbers were made ---


def notes(methods, downstream):
    """Paragraphs on how the numbers in the tables were made."""
    pretrained = [result for stages in methods.values() for result in stages["pretrain"]]
    seeds = ", ".join(str(seed) for seed in sorted({result["seed"] for result in downstream if result["stage"] != COORDINATES}))
    sequences = f"{downstream[0]['last']['test_samples']:,} {downstream[0]['evaluated_on']} sequences after the last epoch"
    averaged = f": mean ± standard deviation over the seeds {seeds}, and each" if "," in seeds else f", seed {seeds}"
    yield f"Top-1 accuracy in % on {sequences}{averaged}."
    yield (
        "Mean, per joint and statistics (per joint, mean and standard deviation over time): read-outs of the same features. "
        "UmURL has one, in the first column; coordinates are in all."
    )
    if pretrained:
        budget = f"{pretrained[0]['epochs']} epochs of pre-training over the same {pretrained[0]['labels']:,} sequences"
        yield f"Budget: {budget}; each seed uses its own pre-training."
        yield (
            "GFLOP: matrix products and convolutions, forward and backward, of one sequence with all its bodies (UmURL: its "
            "four views), counted by torch's FlopCounterMode."
        )
        machines = {(result.get("hardware") or "which is not named", result.get("processes", 1)) for result in pretrained}
        where = "; ".join(sorted(f"{name}, processes: {count}" for name, count in machines))
        yield (
            f"samples/s: the median over the epochs of the runs' log.jsonl, so of the machine that ran them ({where}) and of "
            "what else it did then."
        )
    probes = [
        f"{name} {stages['linprobe'][0]['epochs']}" for name, stages in methods.items() if stages["linprobe"] and name != RIDGE
    ]
    if probes:
        yield f"The linear probe is each method's own (docs/evaluation.md), with epochs: {', '.join(probes)}."
    methods_of = defaultdict(list)  # (stage, settings that are not the configuration's) -> methods
    for name, stages in methods.items():
        for stage, (result, *_) in ((stage, results) for stage, results in stages.items() if results):
            saying = {"data_ratio"} if stage == "finetune" else set()  # the heading says it
            changed = {k: v for k, v in result.method()[1].items() if k in result.options.keys() - saying}
            methods_of[stage, settings_text(changed)].append(name)
    lines = [f"- {stage} of {', '.join(names)}: {text}" for (stage, text), names in sorted(methods_of.items()) if text]
    if lines:
        yield "Not as in the data set's configuration:\n\n" + "\n".join(lines)


if __name__ == "__main__":
    console.end_with_reader()
    errors.main(main)
