"""t-SNE of an encoder's features of the test sequences of some classes.

    python -m scripts.tsne --finetune CHECKPOINT ... --out tsne.png [--classes 10 | --class_ids 3 7] [--perplexity 30] [--seed 0]
                           [--dataset NAME | --data_path NPZ] [options of main_retrieval.py]

CHECKPOINT is of any method and stage; without one the encoder is random. For several, for example before and after tuning, the
same sequences are drawn side by side. The data set is the checkpoint's unless another is named. Classes count from 0; --seed also
chooses them. The features are those of retrieval, scaled to length 1. The points are also written as CSV: panel, name, label,
class_name, x, y.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder


def build_parser():
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout, allow_abbrev=False)
    encoders = "files whose encoders to use, a panel for each (default: a random encoder)"
    parser.add_argument("--finetune", nargs="+", metavar="CHECKPOINT", default=[None], help=encoders)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--classes", type=int, help="how many classes to draw at random [10, or all if there are fewer]")
    which.add_argument("--class_ids", type=int, nargs="+", metavar="CLASS", help="these classes instead")
    parser.add_argument(
        "--perplexity", type=float, help="roughly the number of neighbours of a point [30, or less for few points]"
    )
    parser.add_argument("--out", type=Path, default=Path("tsne.png"), help="picture to write [tsne.png]")
    return parser


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_known_args()

import textwrap

import numpy as np
import torch
import torch.nn.functional as F

from feeder.loader import build_feeder, test_loader
from model import build
from predict import load_model
from report import METHOD_NAMES, charts
from util import checkpoint, config, distributed, errors, results
from util.engine import outputs
from util.files import csv_text, write_text, written_aside
from util.logging import print_info

NAMED = 20  # largest number of classes whose names are written among the points


def main(argv=None):
    script_args, words = build_parser().parse_known_args(argv)
    out = script_args.out
    if out.suffix != ".png":
        raise ValueError(f"out {out}: give a file that ends in .png")
    encoders, panels = [chosen_data(path, words, script_args) for path in script_args.finetune], {}
    (_, first, chosen), *_ = encoders
    for path, (_, data, _) in zip(script_args.finetune, encoders, strict=True):
        if not np.array_equal(data.label[data.indices], first.label[first.indices]):
            raise ValueError(f"{path}: its data, {data.data_path}, are others than {first.data_path}; name one with --data_path")
    for args, data, _ in encoders:
        labels, points, encoder = embed(args, data, script_args.perplexity)
        panels[f"{len(panels) + 1}. {encoder}" if len(script_args.finetune) > 1 else encoder] = points

    names_of = data.names_of_classes()
    title = f"t-SNE of {args.dataset}: {len(data)} {results.evaluated_on(args)} sequences of {len(chosen)} classes"
    how = f"perplexity {script_args.perplexity:g}, seed {args.seed}"
    wrapped = {textwrap.fill(f"{encoder}, {how}", 76, break_on_hyphens=False): points for encoder, points in panels.items()}
    figure = charts.scatter(wrapped, labels, {c: names_of[c] for c in chosen}, centres=len(chosen) <= NAMED)
    figure.suptitle(title, x=0.005, ha="left", fontsize=14, fontweight="bold", parse_math=False)
    with written_aside(out) as file:
        figure.savefig(file, format="png", dpi=100)
    rows = [
        {"panel": encoder, "name": name, "label": label, "class_name": names_of[label], "x": float(x), "y": float(y)}
        for encoder, points in panels.items()
        for name, label, (x, y) in zip(data.sample_names(), labels.tolist(), points, strict=True)
    ]
    write_text(out.with_suffix(".csv"), csv_text(rows))
    print_info(f"{title}; {'; '.join(panels)}, {how}: {out} and {out.with_suffix('.csv')}")


def chosen_data(path, words, script_args):
    """(options, Feeder, classes): the test sequences of the chosen classes, of the data of checkpoint `path` (None: of `words`).

    Raises ValueError for classes without sequences and a perplexity that does not fit.
    """
    if path:
        words = [*words, "--finetune", path, *load_model.data_options(checkpoint.load(path), path, words)]
    args = config.parse("retrieval", words)
    data = build_feeder(args, "test", augment=False)
    chosen = choose_classes(data, script_args.classes, script_args.class_ids, args.seed)
    data.indices = data.indices[np.isin(data.label[data.indices], chosen)]
    if script_args.perplexity is None:
        script_args.perplexity = max(1.0, min(30.0, (len(data) - 1) // 3))
    perplexity = script_args.perplexity
    if not 1 <= perplexity < len(data):
        raise ValueError(f"perplexity {perplexity:g}: from 1 to below {len(data)}, the number of sequences of these classes")
    return args, data, chosen


def embed(args, data, perplexity):
    """(labels (N,), points (N, 2), where the features come from) of all sequences of a Feeder."""
    device = distributed.setup(args.device)
    torch.manual_seed(args.seed)  # of a random encoder
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.initialize_encoder(model, args.finetune, data)
    model.to(device).eval()
    features, labels = outputs(model.pooled, test_loader(data, args, device), device, args.enable_amp)
    points = charts.tsne(F.normalize(features.double(), dim=1).numpy(), perplexity, args.seed)
    stream = "" if args.input_stream == "joint" else f", {args.input_stream} stream"
    return labels.numpy(), points, f"{describe(args, encoder)}{results.readout_text(args)}{stream}"


def choose_classes(data, count, ids, seed):
    """Sorted classes: `ids`, or else `count` (None: 10, or all) of those that have sequences. Raises ValueError for others."""
    there = np.unique(data.label[data.indices]).tolist()
    if ids is not None:
        absent = sorted(set(ids) - set(there))
        if absent:
            raise ValueError(
                f"class_ids {absent[0]}: {data.data_path} has no {data.key} sequences of it; its classes are 0 to "
                f"{data.num_classes - 1}"
            )
        return sorted(set(ids))
    count = min(10, len(there)) if count is None else count
    if not 1 <= count <= len(there):
        raise ValueError(f"classes {count}: {data.data_path} has {data.key} sequences of {len(there)}; ask for 1 to {len(there)}")
    return sorted(np.random.default_rng(seed).choice(there, count, replace=False).tolist())


def describe(args, encoder):
    """Where the encoder comes from."""
    if encoder is None:
        return f"random encoder of {METHOD_NAMES.get(args.method, args.method)}"
    method, path = encoder["method"] or args.method, Path(encoder["path"])
    epoch = "" if encoder["epoch"] is None else f", epoch {encoder['epoch'] + 1}"
    return f"{METHOD_NAMES.get(method, method)}, {encoder['stage']}{epoch}, {Path(*path.parts[-4:])}"


if __name__ == "__main__":
    errors.main(main)
