"""t-SNE of frozen features: how the test sequences of some classes lie before any label was seen.

    python scripts/tsne.py --finetune CHECKPOINT --out tsne.png [--classes 10 | --class_ids 3 7] [--perplexity 30] [--seed 0]
                           [--dataset NAME | --data_path NPZ] [options of main_retrieval.py]

CHECKPOINT is any that holds an encoder: MAMP, SkeletonMAE* or UmURL, pre-trained, linear-probe or fine-tuned; without one the
encoder is random. The data set is the checkpoint's unless another is named. Classes count from 0. The features are those of
retrieval, scaled to length 1 as its cosine sees them. The points are written beside the picture as CSV: name, label, x, y. --seed
also chooses the classes.
"""

import argparse
import csv
import io
import itertools
import sys
import textwrap
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from feeder.loader import (
    build_feeder,
    test_loader,  # noqa: E402
)
from model import build
from predict import load_model  # noqa: E402
from util import checkpoint, config, distributed, errors, results
from util.engine import outputs  # noqa: E402
from util.files import write_text, written_aside  # noqa: E402
from util.logging import say  # noqa: E402

# of Paul Tol's schemes for colour-blind people, and black; a form of its own for each class helps everybody
COLOURS = ("#332288", "#cc6677", "#117733", "#ddaa33", "#88ccee", "#882255", "#44aa99", "#999933", "#aa4499", "#222222")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "p", "h", "*", ">", "d")
NAMES = {"mamp": "MAMP", "skeletonmae": "SkeletonMAE*", "umurl": "UmURL"}
LEGEND_ROWS = 24


def main(argv=None):
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=layout, allow_abbrev=False)
    parser.add_argument("--finetune", metavar="CHECKPOINT", help="whose encoder (default: a random one)")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--classes", type=int, default=10, help="how many classes to draw at random [10]")
    which.add_argument("--class_ids", type=int, nargs="+", metavar="CLASS", help="these classes instead")
    parser.add_argument("--perplexity", type=float, default=30, help="about how many neighbours a point has [30]")
    parser.add_argument("--out", default="tsne.png", help="picture to write [tsne.png]")
    own, rest = parser.parse_known_args(argv)
    out = Path(own.out)
    if out.suffix != ".png":
        raise ValueError(f"out {out}: give a file that ends in .png")
    if own.finetune:
        rest += ["--finetune", own.finetune, *load_model.data_options(checkpoint.load(own.finetune), own.finetune, rest)]
    args = config.parse("retrieval", rest)
    device = distributed.setup(args.device)
    torch.manual_seed(args.seed)  # of a random encoder
    data = build_feeder(args, "test", augment=False)
    chosen = choose(data, own.classes, own.class_ids, args.seed)
    data.indices = data.indices[np.isin(data.label[data.indices], chosen)]
    if not 1 <= own.perplexity < len(data):
        raise ValueError(f"perplexity {own.perplexity:g}: from 1 to below {len(data)}, the number of sequences of these classes")
    model = build.classifier(args, data, data.num_classes)
    encoder = checkpoint.start_from(model, args.finetune)
    model.to(device).eval()
    features, labels = outputs(model.pooled, test_loader(data, args, device), device, args.enable_amp)
    names_of = data.names_of_classes()
    points = embed(features, own.perplexity, args.seed)
    title = f"t-SNE of {args.dataset}: {len(data)} {results.about(args)['evaluated_on']} sequences of {len(chosen)} classes"
    stream = "" if args.input_stream == "joint" else f", {args.input_stream} stream"
    how = f"{described(args, encoder)}{results.read_out(args)}{stream}, perplexity {own.perplexity:g}, seed {args.seed}"
    figure = draw(points, labels.numpy(), {c: names_of[c] for c in chosen}, title, how)
    with written_aside(out) as file:
        figure.savefig(file, format="png", dpi=100)
    names = [data.name(row) for row in data.indices] if data.names is None else data.names[data.indices]
    write_text(out.with_suffix(".csv"), table(names, labels.tolist(), points, names_of))
    say(f"{title}; {how}: {out} and {out.with_suffix('.csv')}")


def choose(data, count, ids, seed):
    """Sorted classes: `ids`, or else `count` of those that have sequences. Raises ValueError for what is not there."""
    there = np.unique(data.label[data.indices]).tolist()
    if ids is not None:
        absent = sorted(set(ids) - set(there))
        if absent:
            raise ValueError(
                f"class_ids {absent[0]}: {data.data_path} has no {data.key} sequences of it; its classes are 0 to "
                f"{data.num_classes - 1}"
            )
        return sorted(set(ids))
    if not 1 <= count <= len(there):
        raise ValueError(f"classes {count}: {data.data_path} has {data.key} sequences of {len(there)}; ask for 1 to {len(there)}")
    return sorted(np.random.default_rng(seed).choice(there, count, replace=False).tolist())


def embed(features, perplexity, seed):
    """(N, D) -> (N, 2), by scikit-learn's t-SNE from the principal components of the features scaled to length 1."""
    features = F.normalize(features.double(), dim=1).numpy()
    if not np.ptp(features, axis=0).any():
        raise ValueError("the features of all sequences are the same; there is nothing to draw")
    return TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(features)


def described(args, encoder):
    """Where the encoder comes from."""
    if encoder is None:
        return f"random encoder of {NAMES.get(args.method, args.method)}"
    method, path = encoder["method"] or args.method, Path(encoder["path"])
    epoch = "" if encoder["epoch"] is None else f", epoch {encoder['epoch'] + 1}"
    return f"{NAMES.get(method, method)}, {encoder['stage']}{epoch}, {Path(*path.parts[-4:])}"


def draw(points, labels, classes, title, how):
    """A Figure of points (N, 2) with labels (N,); classes: {label: its name in the legend}."""
    columns = -(-len(classes) // LEGEND_ROWS)
    figure = Figure(figsize=(8.4 + 1.6 * columns, 8), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    size = float(np.clip(20000 / len(points), 10, 60))
    for (label, name), colour, marker in zip(classes.items(), itertools.cycle(COLOURS), itertools.cycle(MARKERS), strict=False):
        own = points[labels == label]
        ax.scatter(*own.T, s=size, c=colour, marker=marker, linewidths=0.4, edgecolors="white", label=f"{name} ({len(own)})")
    ax.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    for spine in ax.spines.values():
        spine.set_color("#cccccc")
    figure.suptitle(title, x=0.005, ha="left", fontsize=14, fontweight="bold", parse_math=False)
    ax.set_title("\n".join(textwrap.wrap(how, 110)), loc="left", fontsize=9, parse_math=False)
    legend = figure.legend(loc="outside right upper", ncols=columns, frameon=False, markerscale=max(1, (40 / size) ** 0.5))
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def table(names, labels, points, names_of):
    """The points as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("name", "label", "class_name", "x", "y"))
    for name, label, point in zip(names, labels, points, strict=True):
        writer.writerow((name, label, names_of[label], *map(float, point)))
    return text.getvalue()


if __name__ == "__main__":
    errors.main(main)
