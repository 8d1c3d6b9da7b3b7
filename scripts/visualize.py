"""Show what a model does with single sequences, in pictures (PNG) and films (GIF, with ffmpeg also MP4).

    python -m scripts.visualize --checkpoint output/pretrain/checkpoint-399.pth [--dataset NAME | --data_path NPZ]
        [--split test] [--samples 0 5 17 | --names NAME ...] [--out FOLDER] [--seed 0]
    python -m scripts.visualize --checkpoint output/finetune/checkpoint-99.pth --recording walk.bvh

For a pre-training: the body, the mask, the prediction, the motion intensity. For a linear probe or fine-tuned model: the body and
the saliency of its joints. Further options are those of the checkpoint's main_*.py, for example --mask_ratio; by default, all
options and the data set are those in the checkpoint. See docs/visualize.md.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder


def build_parser():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw, allow_abbrev=False)
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    which = parser.add_mutually_exclusive_group()
    rows = "rows of the split (default: three, of different classes)"
    which.add_argument("--samples", nargs="+", type=int, metavar="ROW", help=rows)
    which.add_argument("--names", nargs="+", help="names of sequences")
    recording = "instead of a data set: a file of any kind that main_predict.py takes, prepared as the training data were"
    parser.add_argument("--recording", metavar="FILE", help=recording)
    parser.add_argument("--out", type=Path, help="folder for the pictures (default: beside the checkpoint, NAME-pictures)")
    parser.add_argument("--seed", type=int, default=0, help="of the mask (default: 0)")
    return parser


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_known_args()

import re
import tempfile

from data.prepare import recipes
from feeder.class_names import published_names
from feeder.loader import match_classes_to_checkpoint
from feeder.npz import Split, write_dataset
from feeder.skeleton import joint_names
from model import build
from predict import load_model, readers
from report import METHOD_NAMES, figures, pictures, skeletons
from report.sequences import choose, feeders, load_sample
from report.sheet import DPI
from util import checkpoint, config, errors, provenance, validation
from util.files import bare_name, written_aside
from util.logging import print_info
from util.options import GROUPS, OPTIONS, UNLABELLED

OF_DATA = ("num_frames", "input_stream", "test_p_interval")  # options that determine a model's input
STAGE_NAMES = {"pretrain": "pre-training", "tune": "tuning", "linprobe": "linear probe", "finetune": "fine-tuned"}
FPS = 10  # of films, slower than the recordings


def options(path, more=()):
    """(options, checkpoint content): options of the checkpoint's stage, with the model's and its input's from the checkpoint.

    more: a command line that overrides them. Raises what config.parse and checkpoint.load raise.
    """
    content = checkpoint.load(path)
    stage, method = provenance.stage(content), provenance.architecture(content)
    names = {option.name for group in ("model", method) for option in GROUPS[group]} | {*OF_DATA}
    settings = provenance.settings(content, path) | provenance.sizes(content, path, head=True) | {"method": method}
    words = [] if stage in UNLABELLED else ["--eval", str(path)]
    for name in names & settings.keys():
        option, value = OPTIONS[name], settings[name]
        effective = all(settings.get(other) == wanted for other, wanted in option.only_with.items())
        if option.belongs(stage, method) and value is not None and effective:
            value = validation.convert(option, list(value) if isinstance(value, tuple) else value, path)
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            else:
                words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return config.parse(stage, [*words, *load_model.data_options(content, path, more), *more]), content


def prepared(recording, path, folder):
    """Prepare the recordings in a file like a checkpoint's training data, as the test set of an npz in `folder`; returns its
    path.

    Raises what readers.list_files, readers.list_recordings and load_model.training_data raise.
    """
    content = checkpoint.load(path)
    settings = provenance.settings(content, path)
    data, classes = load_model.training_data(content, path, settings), provenance.num_classes(content)
    recipe = recipes.recipe(settings.get("data_path"), data.num_joints, classes)
    preparation = readers.prepare_like_training(data, recipe)
    names, rows = [], []
    for file in readers.list_files(recording):
        for name, load in readers.list_recordings(file, preparation):
            rows.append(load().whole())
            names.append(Path(name).name.removesuffix(file.suffix))
    class_names = data.class_names or (classes and published_names(settings.get("data_path"), data.num_joints, classes))
    npz, split = Path(folder) / "recording.npz", {"test": Split(names, None, rows, names, list(map(len, rows)))}
    described = {"joint_names": data.joint_names, "parents": data.parent_joints, "class_names": class_names or None}
    flat = data.coordinates == 2 and data.joint_names == list(joint_names("coco17"))
    layout = "coco17" if flat else ""  # whose y is a row of the image
    write_dataset(npz, split, max(map(len, rows)), 0, data.num_joints, data.num_bodies, layout, **described)
    return npz


def model_of(args, content, path, data):
    """The model in a checkpoint, on the CPU in eval mode; None for UmURL's pre-training and for a tuning, which have no masks.

    Raises ValueError if the checkpoint does not fit the options or the data.
    """
    if args.stage not in UNLABELLED:
        model = build.classifier(args, data, provenance.num_classes(content))
    elif args.method == "umurl" or args.stage == "tune":
        return None
    else:
        model = build.pretrainer(args, data, "cpu")[0]
    checkpoint.load_model(model, path, content)
    return model.eval()


def write(folder, sample, source, drawings):
    """Write each figure as PNG and each overlay as a film (None: the body alone) into `folder`. Returns the files' names."""
    files, side = [], skeletons.sides(sample.names)
    clock = [f"frame {t + 1} of {len(sample.joints)}" for t in range(len(sample.joints))]
    for name, (figure, overlay) in drawings.items():
        with written_aside(folder / f"{name}.png") as file:
            figure.savefig(file, format="png", dpi=DPI)
        title, gif = f"{sample.title}\n{source}", folder / f"{name}.gif"
        with written_aside(gif) as file:
            film = skeletons.film(sample.joints, sample.parents, side, title, clock, overlay=overlay, unit=sample.unit)
            skeletons.save_gif(file, film, 1000 // FPS)
        files += [f"{name}.png", gif.name]
        if skeletons.has_ffmpeg():
            with written_aside(folder / f"{name}.mp4") as file:
                skeletons.save_mp4(file.name, gif)
            files.append(f"{name}.mp4")
    return files


def main(argv=None):
    parser = build_parser()
    args, more = parser.parse_known_args(argv)
    if args.recording and args.split != "test":
        parser.error("--split chooses in a prepared data set, --recording is a file of its own")
    with tempfile.TemporaryDirectory() as folder:
        if args.recording:
            more = [*more, "--data_path", str(prepared(args.recording, args.checkpoint, folder))]
        draw(args, [*more, "--seed", str(args.seed)])


def draw(script_args, more):
    """Write the pictures. more: command line with options of the checkpoint's main, for config.parse."""
    path, split, recording = script_args.checkpoint, script_args.split, script_args.recording
    args, content = options(path, more)
    data, joint_data = feeders(args, split, False if recording else None)
    if args.stage not in UNLABELLED:
        match_classes_to_checkpoint(data, content, path)
    model = model_of(args, content, path, data)
    method = provenance.method_name(provenance.settings(content, path)) or args.method
    if method not in METHOD_NAMES:
        raise ValueError(
            f"{path}: is of the method {method!r}; the masks and targets of methods that were added are not known here"
        )
    method = METHOD_NAMES[method]
    if getattr(args, "decoder", "self") != "self":
        method += f", {args.decoder} decoder"
    epoch = f", epoch {content['epoch'] + 1}" if "epoch" in content else ""
    source = f"{method}, {STAGE_NAMES[args.stage]}: {path.resolve().parent.name}/{path.name}{epoch}"
    out = script_args.out or path.with_name(f"{bare_name(path)}-pictures")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out}: is a file; give a folder")
    if model is None:
        of_what = "a tuning" if args.stage == "tune" else "UmURL's pre-training"
        print_info(f"{path}: {of_what} hides no tokens and predicts no motion; only the moving body is drawn")
    if not skeletons.has_ffmpeg():
        print_info("ffmpeg is not installed: films are written as GIF only, not as MP4")
    written = set()
    for index in choose(data, script_args.samples, script_args.names):
        sample = load_sample(data, joint_data, index)
        row, label = int(data.indices[index]), int(data.label[data.indices[index]])
        drawings = {"skeleton": figures.skeleton(sample, source)}
        if model is not None and args.stage == "pretrain":
            drawings |= pictures.of_pretraining(model, sample, source, args)
        elif model is not None:
            drawings |= pictures.of_classifier(model, sample, source, args, data, label)
        name = re.sub(r"[^\w.+-]+", "_", sample.title.split(" · ")[0])[:100].lstrip(".")
        folder = out / (f"recording-{name}" if recording else f"{split}-{row}-{name}")
        folder = out / f"recording-{row}-{name}" if folder in written else folder  # two recordings of one name
        written.add(folder)
        print_info(f"{sample.title}: {folder}: {', '.join(write(folder, sample, source, drawings))}")


if __name__ == "__main__":
    errors.main(main)
