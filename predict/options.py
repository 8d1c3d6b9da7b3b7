"""The command line of main_predict.py. Does not import torch, so that --help answers at once."""

import argparse
from pathlib import Path

from data.prepare import arguments
from data.prepare.transforms import UP
from predict.writers import FORMATS
from util.files import check_output

OWN_DATA = "the training npz; needed only for an old checkpoint of your own data, which holds no metadata"


def build_parser():
    parser = argparse.ArgumentParser(description="Recognise the actions in recordings: class names and probabilities.")
    add = parser.add_argument
    kinds = (
        "NTU .skeleton, PKU-MMD skeleton .txt, NW-UCLA .json, .npy or .npz of (T, V, 3) or (M, T, V, 3), own .txt or .csv, "
        "x_test of a prepared .npz, PYSKL's .pkl, .bvh; or a folder of these"
    )
    add("inputs", nargs="+", metavar="INPUT", help=kinds)
    model = "linear probe or fine-tuned model, ours or released; with --features a pre-training, too"
    add("--checkpoint", required=True, metavar="FILE", help=model)
    add("--features", type=Path, metavar="NPZ", help="write the encoder's features of each recording or window")
    add("--top_k", type=int, default=5, help="number of most likely classes to print [5]")
    add("--format", choices=FORMATS, default="text", help="[text]")
    add("--output", type=Path, metavar="FILE", help="file for the results (default: print them)")
    windows = "for untrimmed recordings: classify windows of so many frames and print a timeline"
    add("--window", type=int, metavar="FRAMES", help=windows)
    add("--stride", type=int, metavar="FRAMES", help="distance between windows (default: a quarter of --window)")
    fps = "frames per second of the recordings, for the timeline's seconds [30] and, for a model of resampled ones, resampling"
    add("--fps", type=float, help=f"{fps} [as its training data]")
    add("--names", metavar="FILE", help="class names, one a line, class 0 first")
    add("--data_path", metavar="NPZ", help=f"{OWN_DATA} (bodies, bones, class names and origin)")
    origin = "put the origin at this joint (name or number) of the first frame, or 'none' (default: as in the training data)"
    add("--center", metavar="JOINT", help=origin)
    arguments.add_format(parser, whole=False)
    up = "axis that points up in the recordings, if another than in the training data's (--up=-y: down)"
    add("--up", choices=UP, help=up)
    unit = "of arrays and rows, if not that of the training data (else m); of .bvh, if neither that nor cm"
    arguments.add_unit(parser, default=None, what=unit)
    add("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    add("--batch_size", type=int, default=32, help="recordings or windows at a time [32]")
    add("--quiet", action="store_true", help="print only results and errors")
    return parser


def parse(argv=None):
    """The options of a command line. Raises ValueError for a number that is out of range."""
    args = build_parser().parse_args(argv)
    for name in ("top_k", "batch_size", "window", "stride"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: at least 1")
    if args.fps is not None and not 0 < args.fps < float("inf"):
        raise ValueError(f"--fps {args.fps:g}: frames per second, above 0")
    if args.stride and not args.window:
        raise ValueError("--stride is from one window to the next; give --window, too")
    for name in ("output", "features"):
        check_output(f"--{name}", getattr(args, name), [*args.inputs, args.checkpoint, args.names, args.data_path])
    return args


def refuse_classes(args):
    """ValueError for an option about classes, for a checkpoint that has none."""
    for name in ("output", "names"):
        if getattr(args, name) != build_parser().get_default(name):
            raise ValueError(f"--{name}: has no effect, {args.checkpoint} has no classifier; --features writes features alone")
