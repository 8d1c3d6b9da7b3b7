"""Recognise the actions in recordings with a trained classifier (class names and probabilities), or compute their features.

python main_predict.py --checkpoint output/linprobe/checkpoint-99.pth S001C001P001R001A001.skeleton
python main_predict.py --checkpoint output/pretrain/checkpoint-399.pth a_folder --features features.npz
"""

from predict import options

if __name__ == "__main__":  # answer --help and wrong options before importing torch, which takes seconds
    options.build_parser().parse_args()

import sys
from itertools import chain, islice

import torch

from data.prepare import arguments, recipes
from feeder.class_names import padded, published_names, read_names
from predict import load_model, readers, writers
from util import checkpoint, console, distributed, errors, provenance
from util.files import write_text

LONG = 300  # frames; no action of the supported data sets is longer


def main(argv=None):
    args = options.parse(argv)
    console.be_quiet(args.quiet)
    device = distributed.setup(args.device)

    # the model, and what its checkpoint holds about its training data
    content = checkpoint.load(args.checkpoint)
    classifies = not args.features or provenance.stage(content) in load_model.CLASSIFIERS
    if not classifies:
        options.refuse_classes(args)
    options_of = load_model.classifier_options if classifies else load_model.encoder_options
    made_with = options_of(content, args.checkpoint)
    data = load_model.training_data(content, args.checkpoint, vars(made_with), args.data_path)
    classes = provenance.num_classes(content) if classifies else None
    npz = args.data_path or made_with.data_path
    names = class_names(args.names, npz, data, classes) if classifies else None
    model = load_model.classifier(content, args.checkpoint, made_with, data).to(device) if classifies else None
    encoder = load_model.encoder(content, args.checkpoint, data).to(device) if args.features else None

    # recordings are prepared as the training data were
    recipe = recipes.recipe(npz, data.num_joints, classes)
    how = arguments.given_format(args) | ({"up": args.up} if args.up else {})
    preparation = readers.prepare_like_training(data, recipe, args.center, args.unit, args.axes, how, args.fps)
    source = load_model.describe(args.checkpoint, content, made_with, preparation, classes)
    if not args.quiet:
        print(*load_model.summary(source, data, made_with, bool(names)), sep="\n", file=sys.stderr)

    # batches of whole recordings, or of windows of them
    predictions, failed, features = [], [], []
    pieces = cut(args, preparation, predictions, failed)
    with console.bar(title="recognised", unit="piece", delay=2, leave=False) as bar:
        while batch := list(islice(pieces, args.batch_size)):
            x = load_model.make_batch([rows for *_, rows in batch], made_with, data, device, 1.0 if args.window else None)
            if classifies:
                for (prediction, start, end, _), found in zip(batch, most_likely(model, x, args), strict=True):
                    prediction.windows.append((start, end, *found))
            if encoder:
                with torch.inference_mode():
                    of_batch = encoder(x).float().cpu().numpy()
                features += [(p.name, start, end, f) for (p, start, end, _), f in zip(batch, of_batch, strict=True)]
            bar.update(len(batch))

    # write the results; recordings that could not be used make exit code 2
    if features:
        encoder_options = load_model.encoder_options(content, args.checkpoint)
        readout = encoder_options.features if encoder_options.method == "umurl" else encoder_options.readout
        writers.save_features(args.features, features, readout, source["checkpoint"])
        if not args.quiet:
            shape = f"{len(features)} x {len(features[0][-1])}"
            print(f"{args.features}: features {shape}, read-out {readout}", file=sys.stderr)
    if predictions and classifies:
        writer = writers.Writer(padded(names, classes), bool(args.window), source | {"failed": failed})
        text = getattr(writer, args.format)(predictions)
        if args.output:
            write_text(args.output, text)
        else:
            print(text, end="", flush=True)
    for prediction in predictions:
        if prediction.frames > LONG and not args.window and not args.quiet:
            note = f"{prediction.frames:,} frames for one action; --window 64 says what happens when"
            print(f"note: {prediction.name}: {note}", file=sys.stderr)
    if failed:
        print(f"error: {len(failed)} of {len(failed) + len(predictions)} could not be used", file=sys.stderr)
        sys.exit(2)


def class_names(path, npz, data, classes):
    """[name of class 0, ...] from --names, else from the training data, else the published ones; None if not known."""
    if path is None:
        return published_names(npz, data.num_joints, classes) if data.class_names is None else data.class_names
    names = read_names(path)
    if len(names) != classes:
        raise ValueError(f"{path}: {len(names)} class names, the classifier knows {classes} classes")
    return names


def cut(args, preparation, predictions, failed):
    """Yield (prediction, start, end, rows) of every recording or window; fills the lists `predictions` and `failed`."""

    def attempt(function, *values, name=""):
        """The function's value; after an error, which is printed in one line, [], so that the others are still processed."""
        try:
            return function(*values)
        except (ValueError, OSError) as error:
            reason = str(error) if str(error).startswith(name) else f"{name}: {error}"
            print(f"error: {reason}", file=sys.stderr)
            failed.append(reason)
            return []

    def pieces(load):
        clip = load()
        if args.window:
            stride = args.stride or max(1, args.window // 4)
            windows = preparation.windows(clip.persons, args.window, stride)
            first = list(islice(windows, 1))  # the rest are made when it is their turn: together they may need gigabytes
            return clip.persons.shape[1], chain(first, windows) if first else []
        rows = clip.whole()
        return len(rows), [(0, len(rows), rows)]

    for path in args.inputs:
        for file in attempt(readers.list_files, path):
            for name, load in attempt(readers.list_recordings, file, preparation):
                frames, parts = attempt(pieces, load, name=name) or (0, [])
                if parts:
                    fps = readers.frame_rate(file, preparation, args.fps)
                    predictions.append(writers.Prediction(name, frames, fps))
                    yield from ((predictions[-1], *part) for part in parts)


@torch.inference_mode()
def most_likely(model, x, args):
    """x (N, C, T, V, M) -> N pairs ([top_k classes, most likely first], [their probabilities])."""
    probabilities, order = model(x).float().softmax(1).sort(dim=1, descending=True, stable=True)
    if not probabilities.isfinite().all():
        raise ValueError(f"{args.checkpoint}: answers with values that are not finite")
    return list(zip(order[:, : args.top_k].tolist(), probabilities[:, : args.top_k].tolist(), strict=True))


if __name__ == "__main__":
    errors.main(main)
