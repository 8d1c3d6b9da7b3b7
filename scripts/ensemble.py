"""Accuracy of an ensemble of streams, from the scores.npz files that --eval writes.

    python -m scripts.ensemble joint/scores.npz motion/scores.npz bone/scores.npz [--weights 1 1 1] [--probabilities]

The ensemble's score is the weighted sum of the logits, as in 2s-AGCN, CTR-GCN and others, or with --probabilities of their
softmax.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder


def build_parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="SCORES.npz")
    parser.add_argument("--weights", nargs="+", type=float, help="one per file (default: 1 each)")
    parser.add_argument("--probabilities", action="store_true", help="add softmax probabilities instead of logits")
    return parser


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_args()


import numpy as np
import torch

from feeder.npz import open_npz
from scripts.tables import markdown_table
from util import console, errors
from util.metrics import accuracy
from util.validation import one_line


def main(argv=None):
    args = build_parser().parse_args(argv)
    weights = args.weights or [1.0] * len(args.files)
    if len(weights) != len(args.files):
        raise ValueError(f"weights {' '.join(f'{w:g}' for w in weights)}: {len(weights)} for {len(args.files)} files")
    streams = [load(file) for file in args.files]
    check_same_samples(args.files, streams)
    scores = [torch.from_numpy(stream["scores"].astype(np.float64)) for stream in streams]
    ranked = [each.softmax(1) for each in scores] if args.probabilities else scores
    rows = [(file, s["input_stream"], f"{w:g}") for file, s, w in zip(args.files, streams, weights, strict=True)]
    rows.append(("**together**", "", "probabilities" if args.probabilities else "logits"))
    scores.append(sum(weight * each for weight, each in zip(weights, ranked, strict=True)))
    label = torch.from_numpy(streams[0]["label"])
    print(f"Accuracy in % on {len(label)} samples\n")
    lines = [(*row, *(f"{share:.2f}" for share in accuracy(each, label))) for row, each in zip(rows, scores, strict=True)]
    print(markdown_table(("file", "stream", "weight", "top-1", "top-5"), lines))


def load(file):
    """scores (N, K) float, label (N,), name (N,) and input_stream of one scores.npz. Raises FileNotFoundError or ValueError."""
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file; main_finetune.py or main_linprobe.py write it with --eval CHECKPOINT")
    try:
        arrays = open_npz(file)
        stream = {key: np.array(arrays[key]) for key in ("scores", "label", "name", "input_stream")}
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}: not the scores of an evaluation ({one_line(error)})") from error
    scores, label, name = stream["scores"], stream["label"], stream["name"]
    numbers = scores.dtype.kind == "f" and scores.ndim == 2 and np.isfinite(scores).all()
    if not numbers or label.shape != (len(scores),) or label.dtype.kind not in "iu" or name.shape != label.shape:
        shapes = f"scores {scores.shape}, label {label.shape}, name {name.shape}"
        raise ValueError(f"{file}: {shapes}; wanted are finite scores (N, K), a label and a name for each")
    return stream | {"input_stream": str(stream["input_stream"])}


def check_same_samples(files, streams):
    """Raises ValueError unless all files have the same samples and classes, in the same order."""
    first = streams[0]
    for file, stream in zip(files, streams, strict=True):
        if stream["scores"].shape != first["scores"].shape:
            raise ValueError(f"{file}: scores {stream['scores'].shape}, those of {files[0]} are {first['scores'].shape}")
        for key in ("name", "label"):
            rows = np.flatnonzero(stream[key] != first[key])
            if len(rows):
                row, value, wanted = rows[0], stream[key][rows[0]], first[key][rows[0]]
                raise ValueError(f"{file}: {key} {value} in row {row}, {wanted} in {files[0]}; not the same test set")


if __name__ == "__main__":
    console.end_with_reader()
    errors.main(main)
