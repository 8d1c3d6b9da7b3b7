"""Accuracy of several streams together, from the scores.npz files that --eval writes.

    python scripts/ensemble.py joint/scores.npz motion/scores.npz bone/scores.npz [--weights 1 1 1] [--probabilities]

The weighted sum of the scores (logits) is ranked, as 2s-AGCN, CTR-GCN and others do it; with --probabilities, that of their
softmax.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.prepare import arguments  # noqa: E402
from feeder.npz import open_npz  # noqa: E402
from util import display  # noqa: E402


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="SCORES.npz")
    parser.add_argument("--weights", nargs="+", type=float, help="one per file (default: 1 each)")
    parser.add_argument("--probabilities", action="store_true", help="add softmax probabilities instead of logits")
    args = parser.parse_args(argv)
    print(report(args.files, args.weights or [1.0] * len(args.files), args.probabilities))


def report(files, weights, probabilities=False):
    """Top-1 and top-5 of each file and of their weighted sum, as a Markdown table. Errors as in `load` and `add`."""
    streams = [load(file) for file in files]
    total = add(files, streams, weights, probabilities)
    lines = [(file, s["input_stream"], f"{w:g}", s["scores"]) for file, s, w in zip(files, streams, weights, strict=True)]
    lines.append(("**together**", "", "probabilities" if probabilities else "logits", total))
    label = streams[0]["label"]
    text = [f"Accuracy in % on {len(label)} samples", "", "| file | stream | weight | top-1 | top-5 |", "|---|---|---|---|---|"]
    for *head, scores in lines:
        text.append(f"| {' | '.join(head)} | " + " | ".join(f"{100 * topk(scores, label, k):.2f}" for k in (1, 5)) + " |")
    return "\n".join(text)


def load(file):
    """scores (N, K) float, label (N,), name (N,) and input_stream of one scores.npz. Raises FileNotFoundError or ValueError."""
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: no such file; main_finetune.py or main_linprobe.py write it with --eval CHECKPOINT")
    try:
        arrays = open_npz(file)
        stream = {key: np.array(arrays[key]) for key in ("scores", "label", "name", "input_stream")}
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}: not the scores of an evaluation ({' '.join(str(error).split())})") from error
    scores, label, name = stream["scores"], stream["label"], stream["name"]
    numbers = scores.dtype.kind == "f" and scores.ndim == 2 and np.isfinite(scores).all()
    if not numbers or label.shape != (len(scores),) or label.dtype.kind not in "iu" or name.shape != label.shape:
        shapes = f"scores {scores.shape}, label {label.shape}, name {name.shape}"
        raise ValueError(f"{file}: {shapes}; wanted are finite scores (N, K), a label and a name for each")
    return stream | {"input_stream": str(stream["input_stream"])}


def add(files, streams, weights, probabilities=False):
    """Weighted sum (N, K) of the scores. Raises ValueError unless all are about the same samples and classes."""
    if len(weights) != len(streams):
        raise ValueError(f"weights {' '.join(f'{w:g}' for w in weights)}: {len(weights)} for {len(streams)} files")
    first, total = streams[0], 0
    for file, stream, weight in zip(files, streams, weights, strict=True):
        if stream["scores"].shape != first["scores"].shape:
            raise ValueError(f"{file}: scores {stream['scores'].shape}, those of {files[0]} are {first['scores'].shape}")
        for key in ("name", "label"):
            differs = np.flatnonzero(stream[key] != first[key])
            if len(differs):
                ours, theirs = stream[key][differs[0]], first[key][differs[0]]
                raise ValueError(f"{file}: {key} {ours} in row {differs[0]}, {theirs} in {files[0]}; not the same test set")
        scores = stream["scores"].astype(np.float64)
        if probabilities:
            scores = np.exp(scores - scores.max(1, keepdims=True))
            scores /= scores.sum(1, keepdims=True)
        total = total + weight * scores
    return total


def topk(scores, label, k):
    """Share of samples whose label is among the k largest scores."""
    return (np.argsort(-scores, axis=1, kind="stable")[:, :k] == label[:, None]).any(1).mean()


if __name__ == "__main__":
    display.end_with_reader()
    arguments.run(main)
