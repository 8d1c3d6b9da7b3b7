"""Methods side by side: accuracy, parameters, operations and speed of runs that had the same budget; and what costs nothing.

    python scripts/compare.py RUN... [--markdown FILE]          scripts/compare.sh makes the runs and calls this

RUNs are folders with pre-trainings, with linear probes, retrieval and fine-tunings of their encoders or of random ones, and with
what scripts/coordinates.py leaves. Prints one Markdown table, a row per method, and says which methods are not better than
coordinates or their own encoder before training. Runs that are not comparable are refused: other data, labels, seeds, or epochs
of pre-training or fine-tuning, or an encoder that is not the last one of a pre-training of the same seed among the RUNs.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import torch
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from feeder.loader import build_feeder
from model import build  # noqa: E402
from scripts.tables import markdown_table as grid  # noqa: E402
from util import display, errors
from util.files import write_text  # noqa: E402
from util.options import DEFAULT_METHOD, METHODS, OPTIONS  # noqa: E402
from util.results import COORDINATES, PAPER, find, name_of  # noqa: E402

JUDGED = ("linprobe", "retrieval", "finetune")
COLUMNS = {  # name: stage and read-out; the last one's name says which share of the labels
    "linear probe, mean": ("linprobe", "mean"),
    "linear probe, per joint": ("linprobe", "per_joint"),
    "1-NN, mean": ("retrieval", "mean"),
    "1-NN, per joint": ("retrieval", "per_joint"),
    "fine-tuning": ("finetune", "mean"),
}
RIDGE, NEAREST = f"{COORDINATES}, ridge", f"{COORDINATES}, 1-NN"
UNTRAINED = {"mamp": "no pre-training", "umurl": "UmURL's encoder without pre-training"}  # by encoder


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="RUN", help="folders to look for result.json in")
    parser.add_argument("--markdown", metavar="FILE", help="write what is printed to this file, too")
    args = parser.parse_args(argv)
    for folder in args.folders:
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"{folder}: no such folder")
    results, complaints = find(args.folders)
    for line in complaints:
        print(f"warning: {line}", file=sys.stderr)
    text = report([result for result in results if not result.content.get("eval")])
    print(text)
    if args.markdown:
        write_text(args.markdown, text + "\n")


def report(results):
    """The comparison as Markdown. Raises ValueError, naming the run, for results that are not comparable."""
    judged = [result for result in results if result["stage"] != "pretrain"]
    if not any(result["stage"] in JUDGED for result in judged):
        raise ValueError("no linear probe, retrieval or fine-tuning among the runs")
    check(results, judged)
    rows = defaultdict(lambda: defaultdict(list))  # method -> stage -> results, by seed
    for result in sorted(results, key=lambda result: result["seed"]):
        for stage in places(result, labels := share(judged)):
            rows[result.method()[0]][stage].append(result)
    rows = {name: rows[name] for name in (*PAPER["methods"], RIDGE, NEAREST) if rows[name].keys() - {"pretrain"}}
    cells = {
        name: {column: accuracies(stages[stage], readout) for column, (stage, readout) in COLUMNS.items()}
        for name, stages in rows.items()
    }
    tuned = "fine-tuning" + (f", {100 * labels:.3g} % of the labels" if labels else "")
    head = ("", *list(COLUMNS)[:-1], tuned, "parameters, encoder", "in pre-training", "GFLOP per sample", "samples/s")
    lines = [(name, *map(spread, cells[name].values()), *cost(stages)) for name, stages in rows.items()]
    title = f"# {name_of(judged[0]['dataset'])}: methods with the same budget"
    return "\n\n".join([title, grid(head, lines), *beaten(rows, cells), *notes(rows, judged)])


def places(result, labels):
    """The stages in whose columns a result stands. Of coordinates: beside fine-tuning where they have as many labels as that;
    with all labels ridge regression is beside the linear probe, too, and neighbours beside neighbours."""
    if result["stage"] != COORDINATES:
        return [result["stage"]]
    beside = {"ridge": "linprobe", "1-NN": "retrieval"}[result["method"]]
    return [beside] * (result["data_ratio"] == 1) + ["finetune"] * (result["data_ratio"] == labels)


def share(judged):
    """Of the labels, in fine-tuning; None without any."""
    return next((result["data_ratio"] for result in judged if result["stage"] == "finetune"), None)


def beaten(rows, cells):
    """Notes of which methods are, in which columns, not better than what costs nothing: coordinates, and their own encoder or
    network without pre-training."""
    free = {"linprobe": (RIDGE,), "retrieval": (NEAREST,), "finetune": (RIDGE, NEAREST)}
    told, better, missing = [], [], set()
    for name, stages in ((name, stages) for name, stages in rows.items() if stages["pretrain"]):
        untrained = UNTRAINED[METHODS[options_of(stages["pretrain"][0])["method"]]]
        own = {column: statistics.mean(values) for column, values in cells[name].items() if values}
        lines = []
        for column, accuracy in own.items():
            others = {other: cells.get(other, {}).get(column) for other in (*free[COLUMNS[column][0]], untrained)}
            missing |= {other for other, values in others.items() if not values}
            most, other = max(((statistics.mean(values), other) for other, values in others.items() if values), default=(-1, ""))
            if most >= accuracy:
                lines.append(f"- {name}: {column}, {accuracy:.1f} against {most:.1f} ({other})")
        told += lines
        better += [name] if own and not lines else []
    if told:
        yield "Not better than what costs nothing, coordinates or the own encoder without pre-training:\n\n" + "\n".join(told)
    if better and not missing:
        yield f"Better in every column than coordinates and the own encoder without pre-training: {', '.join(better)}."
    if missing:
        yield f"Not among the runs, and so not compared with: {'; '.join(sorted(missing))}."


def check(results, judged):
    """Refuse what is not comparable."""
    pretrained = {(r.content.get("checkpoint") or {}).get("sha256"): r for r in results if r["stage"] == "pretrain"}
    for what in ("dataset", "input_stream"):
        same(results, what, lambda r, what=what: r[what])
    same(results, "data_path", lambda r: r.settings["data_path"])
    same(judged, "evaluated_on", lambda r: r["evaluated_on"])
    same(judged, "test samples", lambda r: r["last"]["test_samples"])
    for stage in ("pretrain", *JUDGED):
        own = [r for r in results if stage in places(r, share(judged))]
        same(own, "data_ratio", lambda r: r.content.get("data_ratio", 1))
        same(own, "labels", lambda r: r["labels"])
        if stage in ("pretrain", "finetune"):
            same([r for r in own if r["stage"] == stage], "epochs", lambda r: r["epochs"])
        for seed in {r["seed"] for r in own}:
            few = [r for r in own if r["seed"] == seed and r.content.get("data_ratio", 1) < 1]
            same(few, "subset_seed", lambda r: r.content.get("subset_seed"))
        for name in {r.method()[0] for r in own}:
            settings(own, name)
    for result in judged:
        encoder, where = result.encoder, result.folder
        source = pretrained.get(encoder.get("sha256"))
        if encoder and source is None:
            raise ValueError(f"{where}: judges {encoder['path']}, not the last checkpoint of a pre-training among the runs")
        if encoder and source["seed"] != result["seed"]:
            raise ValueError(f"{where}: seed {result['seed']} judges the pre-training of seed {source['seed']}")
    seeds = {}
    for result in sorted(results, key=lambda result: result["stage"] == COORDINATES):
        if result["stage"] != COORDINATES or result["data_ratio"] == share(judged) < 1:  # with all labels, these know no chance
            seeds.setdefault((result.method()[0], result["stage"]), []).append(result["seed"])
    (first, wanted), *others = [(f"{stage} of {name}", sorted(found)) for (name, stage), found in seeds.items()]
    for own, found in others:
        if found != wanted:
            raise ValueError(f"seeds {found} in {own}, {wanted} in {first}: every method needs the same ones, each once")


def same(results, what, value_of):
    """ValueError unless all results have the same value."""
    for result in results[1:]:
        ours, theirs = value_of(result), value_of(results[0])
        if ours != theirs:
            where = result.folder, results[0].folder
            raise ValueError(f"{what} {ours} in {where[0]}, {theirs} in {where[1]}: not comparable")


def settings(results, name):
    """ValueError unless the results of one method and stage differ in their seeds alone."""
    own = [r for r in results if r.method()[0] == name]
    for key in own[0].settings.keys() | own[-1].settings.keys():
        same(own, key, lambda r, key=key: r.settings.get(key))


def accuracies(results, readout):
    """Of a read-out, by seed; none if some of the runs did not make it."""
    values = [result.accuracy_of(readout) for result in results]
    return values if None not in values else []


def spread(values):
    """'68.4 ± 4.1 (65.5, 71.3)': mean, standard deviation (n - 1) and each seed's."""
    if len(values) < 2:
        return "".join(f"{value:.1f}" for value in values)
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f} ({', '.join(f'{value:.1f}' for value in values)})"


def cost(stages):
    """(parameters of the encoder, in pre-training, GFLOP of a sample, samples/s) as text; no pre-training costs nothing."""
    example = next(results[0] for stage, results in stages.items() if stage != "pretrain" and results)
    if example["stage"] == COORDINATES:
        return "", "", "", ""
    encoder = f"{encoder_parameters(options_of(example)):,}"
    trained = stages["pretrain"]
    if not trained:
        return encoder, "", "", ""
    parameters, operations = pretraining(options_of(trained[0]))
    mixed = " (mixed precision)" if trained[0].options.get("enable_amp") else ""
    return encoder, f"{parameters:,}", f"{operations / 1e9:.3g}", f"{statistics.median(speeds(trained)):.0f}{mixed}"


def options_of(result):
    """The options of a run; older runs lack newer ones."""
    method = result.options.get("method", DEFAULT_METHOD)
    return {o.name: o.default for o in OPTIONS.values() if o.belongs(result["stage"], method)} | result.options


def encoder_parameters(options):
    """Number of parameters of the encoder that a run of a judging stage had."""
    args = argparse.Namespace(**options)
    model = build.classifier(args, build_feeder(args, "test", augment=False), num_classes=2)
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith(f"{model.head_name}."))


def pretraining(options):
    """(parameters, floating-point operations of one sample, forward and backward) of a pre-training.

    Counted by torch's FlopCounterMode on tensors without values: matrix products and convolutions. A sample is a sequence with
    all its bodies, for UmURL with its four views; UmURL's loss compares it with the others of an update.
    """
    args = argparse.Namespace(**options | {"skip_empty_bodies": False})  # what that saves depends on the values
    data = build_feeder(args, "train", augment=True, views=build.views(args))
    model, _, loss_of = build.pretrainer(args, data, torch.device("cpu"))
    views = (data.views,) if data.views > 1 else ()
    shape = (*views, args.dim_in, args.num_frames, data.num_joints, data.num_bodies)
    with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss_of(model, torch.empty(args.effective_batch_size, *shape), None).backward()
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() / args.effective_batch_size


def speeds(results):
    """samples/s of every epoch of runs."""
    lines = [line for r in results for line in (r.path.parent / r["log"]).read_text().splitlines()]
    return [json.loads(line)["samples_per_s"] for line in lines]


def notes(rows, judged):
    """What the table does not say of how its numbers were made."""
    trained = [result for stages in rows.values() for result in stages["pretrain"]]
    seeds = ", ".join(str(seed) for seed in sorted({result["seed"] for result in judged if result["stage"] != COORDINATES}))
    what = f"{judged[0]['last']['test_samples']:,} {judged[0]['evaluated_on']} sequences after the last epoch"
    spread = f": mean ± standard deviation over the seeds {seeds}, and each" if "," in seeds else f", seed {seeds}"
    yield f"Top-1 accuracy in % on {what}{spread}."
    yield "Mean and per joint: two read-outs of the same features. UmURL's stand in the first column, coordinates in both."
    if trained:
        budget = f"{trained[0]['epochs']} epochs of pre-training over the same {trained[0]['labels']:,} sequences"
        yield f"Budget: {budget}; a seed is judged on its own pre-training."
        yield (
            "GFLOP: matrix products and convolutions, forward and backward, of one sequence with all its bodies (UmURL: its "
            "four views), counted by torch's FlopCounterMode."
        )
        machines = {(r.content.get("hardware"), r.content.get("processes", 1)) for r in trained}
        told = "; ".join(sorted(f"{name or 'which is not named'}, processes: {count}" for name, count in machines))
        yield (
            f"samples/s: the median over the epochs of the runs' log.jsonl, so of the machine that ran them ({told}) and of "
            "what else it did then."
        )
    probes = [f"{name} {probe[0]['epochs']}" for name, stages in rows.items() if (probe := stages["linprobe"]) and name != RIDGE]
    if probes:
        yield f"The linear probe is each method's own (docs/evaluation.md), with epochs: {', '.join(probes)}."
    yield from differences(rows)


def differences(rows):
    """A note of what is not as the data set's configuration has it, if anything is."""
    told = defaultdict(list)
    for name, stages in rows.items():
        for stage, (result, *_) in ((stage, results) for stage, results in stages.items() if results):
            own = {key: value for key, value in sorted(result.method()[1].items()) if key in result.options}
            if stage == "finetune":  # the column says it
                own.pop("data_ratio", None)
            texts = (f"{key} {' '.join(map(str, value)) if isinstance(value, tuple) else value}" for key, value in own.items())
            told[stage, ", ".join(texts)].append(name)
    lines = [f"- {stage} of {', '.join(names)}: {text}" for (stage, text), names in sorted(told.items()) if text]
    if lines:
        yield "Not as in the data set's configuration:\n\n" + "\n".join(lines)


if __name__ == "__main__":
    display.end_with_reader()
    errors.main(main)
