"""Which action it is: class names and probabilities for recordings, by a trained classifier alone; or their features.

python main_predict.py --checkpoint output/linprobe/checkpoint-99.pth S001C001P001R001A001.skeleton
python main_predict.py --checkpoint output/pretrain/checkpoint-399.pth a_folder --features features.npz
"""

import argparse
import sys
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from data.prepare import arguments, known
from predict import answers, inputs, trained
from util import checkpoint, display, distributed, errors, run
from util.files import write_text, written_aside

LONG = 300  # frames; no action of the project's data sets is longer


def build_parser():
    parser = argparse.ArgumentParser(description="Which action it is: class names and probabilities for recordings.")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="NTU .skeleton, PKU-MMD skeleton .txt, NW-UCLA .json, .npy "
        "or .npz of (T, V, 3) or (M, T, V, 3), own .txt or .csv, x_test of a prepared .npz, PYSKL's .pkl, "
        ".bvh; or a folder of these",
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="FILE",
        help="linear probe or fine-tuned model, ours or released; with --features a pre-training, too",
    )
    parser.add_argument("--features", type=Path, metavar="NPZ", help="write what the encoder makes of each recording or window")
    parser.add_argument("--top_k", type=int, default=5, help="classes that are named [5]")
    parser.add_argument("--format", choices=answers.FORMATS, default="text", help="[text]")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where the answers go (default: printed)")
    parser.add_argument(
        "--window",
        type=int,
        metavar="FRAMES",
        help="of an untrimmed recording: look at so many frames at a time, and say what happens when",
    )
    parser.add_argument("--stride", type=int, metavar="FRAMES", help="from a window to the next (default: a quarter of --window)")
    parser.add_argument("--fps", type=float, default=30.0, help="frames per second of the recordings [30]")
    parser.add_argument("--names", metavar="FILE", help="class names, one a line, class 0 first")
    parser.add_argument(
        "--data_path",
        metavar="NPZ",
        help="what the classifier was trained on, if that is data of your own and "
        "the checkpoint is one of before it kept bodies, bones, class names and origin",
    )
    parser.add_argument(
        "--center",
        metavar="JOINT",
        help="put the origin at this joint (name or number) of the first frame, as "
        "in the training data, or 'none' (default: as the training data, or their name, say)",
    )
    arguments.add_format(parser, whole=False)
    arguments.add_unit(
        parser,
        default=None,
        what="of arrays and rows, if not that of the training data (else m); of .bvh, if neither that nor cm",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N [auto]")
    parser.add_argument("--batch_size", type=int, default=32, help="recordings or windows at a time [32]")
    parser.add_argument("--quiet", action="store_true", help="answers and errors alone")
    return parser


def main(argv=None):
    args = build_parser().parse_args(argv)
    display.be_quiet(args.quiet)
    for name in ("top_k", "batch_size", "window", "stride"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ValueError(f"--{name} {getattr(args, name)}: at least 1")
    if not 0 < args.fps < float("inf"):
        raise ValueError(f"--fps {args.fps:g}: frames per second, above 0")
    if args.stride and not args.window:
        raise ValueError("--stride is from one window to the next; give --window, too")
    device = distributed.setup(args.device)
    content = checkpoint.load(args.checkpoint)
    judges = not args.features or checkpoint.stage(content) in trained.CLASSIFIERS
    made_with = (trained.options if judges else trained.encoder_options)(content, args.checkpoint)
    data = trained.skeleton(content, args.checkpoint, vars(made_with), args.data_path)
    classes = checkpoint.num_classes(content) if judges else None
    recipe = known.recipe(args.data_path or made_with.data_path, data.num_joints, classes)
    names = class_names(args.names, recipe, data, classes) if judges else []
    model = trained.classifier(content, args.checkpoint, made_with, data).to(device) if judges else None
    encoder = trained.encoder(content, args.checkpoint, data).to(device) if args.features else None
    preparation = inputs.as_trained(data, recipe, args.center, args.unit, args.axes, arguments.given_format(args))
    about, lines = describe(args.checkpoint, content, made_with, data, preparation, classes, bool(names))
    if not args.quiet:
        print(*lines, sep="\n", file=sys.stderr)

    given, failed, found = [], [], []
    pieces = cut(args, preparation, given, failed)
    with display.bar(title="recognised", unit="piece", delay=2, leave=False) as bar:
        while some := list(islice(pieces, args.batch_size)):
            x = trained.batch([rows for *_, rows in some], made_with, data, device, 1.0 if args.window else None)
            if model:
                for (answer, start, end, _), p, c in zip(some, *look(model, x, args), strict=True):
                    answer.windows.append((start, end, c, p))
            if encoder:
                with torch.inference_mode():
                    features = encoder(x).float().cpu().numpy()
                found += [(answer.name, start, end, own) for (answer, start, end, _), own in zip(some, features, strict=True)]
            bar.update(len(some))
    if found:
        save_features(args.features, found, trained.encoder_options(content, args.checkpoint), about)
    if given and model:
        writer = answers.Writer(names, bool(args.window), args.fps, about | {"failed": failed})
        text = getattr(writer, args.format)(given)
        if args.output:
            write_text(args.output, text)
        else:
            print(text, end="", flush=True)
    for answer in given:
        if answer.frames > LONG and not args.window:
            print(
                f"note: {answer.name}: {answer.frames:,} frames for one action; --window 64 says what happens when",
                file=sys.stderr,
            )
    if failed:
        print(f"error: {len(failed)} of {len(failed) + len(given)} could not be used", file=sys.stderr)
        sys.exit(2)


def class_names(path, recipe, data, classes):
    """[name of class 0, ...], [] if not known: of --names, of the npz that the classifier was trained on, of its data set."""
    if path is not None:
        names = known.read_names(path)
        if len(names) < classes:
            raise ValueError(f"{path}: {len(names)} class names, the classifier knows {classes} classes")
        return names
    return known.class_names(recipe, classes) if data.class_names is None else data.class_names


def cut(args, preparation, found, failed):
    """Yield (answer, start, end, rows) of everything to look at. Answers to be filled go to `found`, errors to `failed`."""
    window, stride = args.window, args.stride or max(1, (args.window or 0) // 4)

    def attempt(function, where=""):
        try:
            return function()
        except (ValueError, OSError) as error:
            reason = str(error) if str(error).startswith(where) else f"{where}: {error}"
            print(f"error: {reason}", file=sys.stderr)
            failed.append(reason)
            return []

    def pieces(load):
        clip = load()
        if window:
            return clip.persons.shape[1], list(preparation.windows(clip.persons, window, stride))
        rows = clip.whole()
        return len(rows), [(0, len(rows), rows)]

    for path in args.inputs:
        for file in attempt(partial(inputs.expand, path)):
            for name, load in attempt(partial(inputs.find, file, preparation)):
                frames, parts = attempt(partial(pieces, load), name) or (0, [])
                if parts:
                    found.append(answers.Answer(name, frames))
                    yield from ((found[-1], *part) for part in parts)


@torch.inference_mode()
def look(model, x, args):
    """Of x (N, C, T, V, M), the top_k classes: probabilities and classes, two lists of N lists."""
    shares, order = model(x).float().softmax(1).sort(dim=1, descending=True, stable=True)
    if not shares.isfinite().all():
        raise ValueError(f"{args.checkpoint}: answers with values that are not finite")
    return shares[:, : args.top_k].tolist(), order[:, : args.top_k].tolist()


def save_features(path, found, made_with, about):
    """Write the npz of --features; found: [(name, start, end, features (D,)), ...]."""
    names, start, end, features = zip(*found, strict=True)
    readout = made_with.features if made_with.method == "umurl" else made_with.readout
    with written_aside(path) as file:
        np.savez(
            file,
            names=np.array(names),
            start=np.array(start),
            end=np.array(end),
            features=np.stack(features),
            readout=readout,
            checkpoint=about["checkpoint"]["path"],
            sha256=about["checkpoint"]["sha256"],
        )
    if not display.quiet():
        print(f"{path}: features {len(features)} x {len(features[0])}, read-out {readout}", file=sys.stderr)


def describe(path, content, made_with, data, preparation, classes, named):
    """What was used: a dict for a file, and lines for a reader."""
    recipe, unit = preparation.recipe, preparation.unit
    about = {
        "checkpoint": run.identity(path),
        "stage": checkpoint.stage(content),
        "method": made_with.method,
        "classes": classes,
        "epoch": content["epoch"] + 1 if "epoch" in content else None,
        "trained_on": recipe.title,
        "preparation": recipe.about,
        "metres_per_unit": unit,
    }
    epoch = "" if about["epoch"] is None else f", epoch {about['epoch']}"
    return about, [
        f"{path}: {made_with.method} {about['stage']}{epoch}, {classes or 'no'} classes, trained on {recipe.title}"
        + ("" if named or not classes else "; class names are not known, --names tells them"),
        f"recordings: {data.num_bodies} bodies of {data.num_joints} joints, {recipe.about}, {made_with.num_frames} frames, "
        f"{made_with.input_stream} stream" + ("" if unit == 1 else f"; arrays are taken to be in units of {unit:g} m"),
    ]


if __name__ == "__main__":
    errors.main(main)
