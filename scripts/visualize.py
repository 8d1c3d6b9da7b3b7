"""See what a checkpoint does with single sequences: pictures (PNG) and films (GIF, with ffmpeg MP4 too).

    python scripts/visualize.py --checkpoint output/pretrain/checkpoint-399.pth [--dataset NAME | --data_path NPZ]
        [--split test] [--samples 0 5 17 | --names NAME ...] [--out FOLDER] [--seed 0]
    python scripts/visualize.py --checkpoint output/finetune/checkpoint-99.pth --recording walk.bvh

Of a pre-training: the moving body, what the mask hides, what is predicted, motion intensity. Of a linear probe or a fine-tuned
model: the moving body, and which joints decided. Other options are those of the checkpoint's main_*.py, for example --mask_ratio;
what is not said, the data set, too, is as in the checkpoint. See docs/visualize.md.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from data.prepare import recipes  # noqa: E402
from feeder.class_names import published_names
from feeder.loader import number_as_trained
from feeder.npz import Split, write_dataset  # noqa: E402
from model import build
from predict import load_model, readers  # noqa: E402
from report import explain, pictures, plots  # noqa: E402
from report.page import DPI  # noqa: E402
from report.samples import feeders, rows, sample  # noqa: E402
from util import checkpoint, config, errors
from util.files import bare_name, written_aside  # noqa: E402
from util.logging import say  # noqa: E402
from util.options import GROUPS, OPTIONS  # noqa: E402

SEEN = ("num_frames", "input_stream", "test_p_interval")  # options that decide what a model sees of a sequence
FPS = 10  # of films: slower than life


def options(path, more=()):
    """(options of the checkpoint's stage, its content): what the model is and sees as the checkpoint says, `more` on top.

    more: words of a command line, as config.parse takes them. Raises what config.parse and checkpoint.load raise.
    """
    content = checkpoint.load(path)
    stage, method = checkpoint.stage(content), checkpoint.architecture(content)
    kept = {option.name for group in ("model", method) for option in GROUPS[group]} | {*SEEN}
    told = checkpoint.settings(content, path) | checkpoint.sizes(content, path, head=True) | {"method": method}
    words = [] if stage == "pretrain" else ["--eval", str(path)]
    for name, value in told.items():
        other, wanted = OPTIONS[name].only_with if name in kept and OPTIONS[name].only_with else (None, None)
        if name in kept and OPTIONS[name].belongs(stage, method) and value is not None and told.get(other) == wanted:
            value = config.convert(OPTIONS[name], list(value) if isinstance(value, tuple) else value, path)
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            else:
                words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    return config.parse(stage, [*words, *load_model.data_options(content, path, more), *more]), content


def prepared(recording, path, folder):
    """Path of an npz in `folder` whose test set is what a file of any kind holds, prepared as the training data of a checkpoint.

    Raises what readers.list_files, readers.list_recordings and load_model.training_data raise.
    """
    content = checkpoint.load(path)
    told = checkpoint.settings(content, path)
    data, classes = load_model.training_data(content, path, told), checkpoint.num_classes(content)
    recipe = recipes.recipe(told.get("data_path"), data.num_joints, classes)
    preparation = readers.prepare_like_training(data, recipe)
    names, rows = [], []
    for file in readers.list_files(recording):
        for name, load in readers.list_recordings(file, preparation):
            rows.append(load().whole())
            names.append(Path(name).name.removesuffix(file.suffix))
    class_names = data.class_names or (classes and published_names(told.get("data_path"), data.num_joints, classes))
    npz = Path(folder) / "recording.npz"
    write_dataset(
        npz,
        {"test": Split(names, None, rows, names)},
        max(map(len, rows)),
        0,
        data.num_joints,
        data.num_bodies,
        "",
        joint_names=data.joint_names,
        parents=data.parent_joints,
        class_names=class_names or None,
    )
    return npz


def load(args, content, path, data):
    """The model in a checkpoint, on the CPU in eval mode; None for UmURL's pre-training, which explains nothing.

    Raises ValueError if the checkpoint does not fit the options or the data.
    """
    if args.stage == "pretrain":
        if args.method == "umurl":
            return None
        model = build.pretrainer(args, data, "cpu")[0]
    else:
        model = build.classifier(args, data, checkpoint.num_classes(content))
    checkpoint.load_model(model, path, content)
    return model.eval()


def pretrained(model, drawn, source, args, seed):
    """{name: (figure, overlay of the film)} of a MAMP or SkeletonMAE*."""
    tau = args.motion_aware_tau
    found = explain.predict(model, drawn.x, seed, args.mask_ratio, args.motion_stride, tau)
    intensity = explain.intensity(model, drawn.x)
    masks = {f"motion-aware, τ = {tau:g}": found.hidden} if tau > 0 else {}
    masks |= {"random": explain.hidden_at_random(model, drawn.x, seed, args.mask_ratio)}
    said = f"mask_ratio {args.mask_ratio:g}, seed {seed}."
    return {
        "mask": (pictures.mask_figure(drawn, source, intensity, masks, said), pictures.mask_overlay(drawn, found.hidden)),
        "prediction": (pictures.prediction_figure(drawn, source, found, said), pictures.prediction_overlay(drawn, found)),
        "intensity": (pictures.intensity_figure(drawn, source, intensity), pictures.intensity_overlay(drawn, intensity)),
    }


def classified(model, drawn, source, args, data, label):
    """{name: (figure, overlay of the film)} of a classifier."""
    found = explain.saliency(model, drawn.x, getattr(args, "t_patch_size", 1), moving=args.input_stream == "motion")
    best, p = int(found.probability.argmax()), found.probability
    truth = f"true: {data.class_title(label)}" + (f", {100 * p[label]:.0f} %" if label != best and label < len(p) else "")
    verdict = f"Predicted: {data.class_title(best)}, {100 * p[best]:.0f} %"
    if label >= 0:
        verdict += f" · {'correct' if label == best else truth}"
    overlay = pictures.saliency_overlay(drawn, found, data.class_title(best))
    return {"saliency": (pictures.saliency_figure(drawn, source, found, verdict), overlay)}


def write(folder, drawn, source, drawings):
    """PNG of each figure, and the film with each overlay (None: the body alone), into `folder`. Returns the files' names."""
    files, side = [], plots.sides(drawn.names)
    clock = [f"frame {t + 1} of {len(drawn.joints)}" for t in range(len(drawn.joints))]
    for name, (figure, overlay) in drawings.items():
        with written_aside(folder / f"{name}.png") as file:
            figure.savefig(file, format="png", dpi=DPI)
        film = list(plots.moving(drawn.joints, drawn.parents, side, f"{drawn.title}\n{source}", clock, overlay=overlay))
        with written_aside(folder / f"{name}.gif") as file:
            plots.save_gif(file, film, 1000 // FPS, pictures.COLOURS if overlay else np.ravel(plots.COLOURS))
        files += [f"{name}.png", f"{name}.gif"]
        if plots.has_ffmpeg():
            with written_aside(folder / f"{name}.mp4") as file:
                plots.save_mp4(file.name, film, FPS)
            files.append(f"{name}.mp4")
    return files


def main(argv=None):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw, allow_abbrev=False)
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--split", choices=("train", "test"), default="test")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--samples", nargs="+", type=int, metavar="ROW", help="rows of the split (default: three, of different classes)"
    )
    which.add_argument("--names", nargs="+", help="names of sequences")
    parser.add_argument(
        "--recording",
        metavar="FILE",
        help="instead of a prepared data set: a recording of any kind that "
        "main_predict.py takes, such as .bvh or .skeleton, prepared as the training data were",
    )
    parser.add_argument("--out", type=Path, help="folder for the pictures (default: beside the checkpoint, NAME-pictures)")
    parser.add_argument("--seed", type=int, default=0, help="of the mask (default: 0)")
    o, more = parser.parse_known_args(argv)
    if o.recording and o.split != "test":
        parser.error("--split chooses in a prepared data set, --recording is a file of its own")
    with tempfile.TemporaryDirectory() as folder:
        if o.recording:
            more = [*more, "--data_path", str(prepared(o.recording, o.checkpoint, folder))]
        show(o, more)


def show(o, more):
    """Draw what the options `o` of the command line say; more: those of the checkpoint's main."""
    args, content = options(o.checkpoint, [*more, "--seed", str(o.seed)])
    data, shown = feeders(args, o.split, False if o.recording else None)
    if args.stage != "pretrain":
        number_as_trained(data, content, o.checkpoint)
    model = load(args, content, o.checkpoint, data)
    epoch = f", epoch {content['epoch'] + 1}" if "epoch" in content else ""
    method = {"mamp": "MAMP", "umurl": "UmURL", "skeletonmae": "SkeletonMAE*"}[
        checkpoint.method(checkpoint.settings(content, o.checkpoint)) or args.method
    ]
    if getattr(args, "decoder", "self") != "self":
        method += f", {args.decoder} decoder"
    stage = {"pretrain": "pre-training", "linprobe": "linear probe", "finetune": "fine-tuned"}[args.stage]
    source = f"{method}, {stage}: {o.checkpoint.resolve().parent.name}/{o.checkpoint.name}{epoch}"
    out = o.out or o.checkpoint.with_name(f"{bare_name(o.checkpoint)}-pictures")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out}: is a file; give a folder")
    if model is None:
        say(f"{o.checkpoint}: UmURL's pre-training hides no tokens and predicts no motion; only the moving body is drawn")
    if not plots.has_ffmpeg():
        say("ffmpeg is not installed: films are written as GIF only, not as MP4")
    for index in rows(data, o.samples, o.names):
        drawn = sample(data, shown, index)
        row, label = int(data.indices[index]), int(data.label[data.indices[index]])
        drawings = {"skeleton": (pictures.skeleton_figure(drawn, source), None)}
        if model is not None and args.stage == "pretrain":
            drawings |= pretrained(model, drawn, source, args, o.seed)
        elif model is not None:
            drawings |= classified(model, drawn, source, args, data, label)
        name = re.sub(r"[^\w.+-]+", "_", drawn.title.split(" · ")[0])[:100].lstrip(".")
        folder = out / (f"recording-{name}" if o.recording else f"{o.split}-{row}-{name}")
        say(f"{drawn.title}: {folder}: {', '.join(write(folder, drawn, source, drawings))}")


if __name__ == "__main__":
    errors.main(main)
