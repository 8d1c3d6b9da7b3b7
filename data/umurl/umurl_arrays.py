"""Arrays as UmURL and 2s-AGCN store them, (N, C, T, V, M) in an npy with labels in a pickle beside it -> one npz of ours.

A folder is one protocol: train_data_joint.npy, train_num_frame.npy and train_label.pkl, which holds (names, labels), and the same
of val or test. The arrays are mapped: one sequence is in memory at a time.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, ntu_release, parallel, pickles
from data.prepare.npz import Split, write_dataset
from data.prepare.splits import group
from feeder.labels import ordered
from feeder.skeleton import LAYOUTS
from util import display
from util.files import bare_name

PARTS = {"train": ("train",), "test": ("val", "test")}
JOINTS, FRAMES, LABELS = ("data_joint.npy", "data.npy"), ("num_frame.npy", "num_frame.pkl"), ("label.pkl",)
PROTOCOLS = {"xsub": "XSub", "xview": "XView", "xset": "XSet", "xsetup": "XSet"}


def generate(folder, out, name=None, strict=False):
    """Write out/<name>.npz from the arrays in `folder`; returns its path. Of a part that is not there, the npz has nothing.

    name: default that of the data set, such as UMURL_NTU60_XSub, where sample names and folder tell, else that of the folder.
    Sequences that are all zero or not finite, and with num_frame 0, are listed in out/raw_data/skipped.txt; with `strict` the
    first is a ValueError. Raises FileNotFoundError or ValueError in one line naming the file that is missing or does not fit.
    """
    folder, skipped = Path(folder), parallel.Skipped(strict)
    parts = {key: found for key, words in PARTS.items() if (found := _part(folder, words, skipped))}
    if not parts:
        raise FileNotFoundError(f"{folder}: has neither {' nor '.join(f'{p}_{JOINTS[0]}' for p in ('train', 'val', 'test'))}")
    shapes = {part["x"].shape[2:] for part in parts.values()}
    kinds = {type(label) for part in parts.values() for label in part["labels"]}
    if len(shapes) > 1 or len(kinds) > 1:
        what = "frames, joints or bodies" if len(shapes) > 1 else "kinds of labels"
        raise ValueError(f"{folder}: train and test differ in {what}")
    frames, joints, bodies = next(iter(shapes))
    labels, release = [label for part in parts.values() for label in part["labels"]], _release(parts)
    classes = ordered(set(labels)) if kinds == {str} else None
    number = {label: i for i, label in enumerate(classes)} if classes else {label: label for label in labels}
    count = len(classes) if classes else max([*labels, release.num_classes - 1 if release else 0]) + 1
    if name is None and release:
        protocol = PROTOCOLS.get(folder.resolve().name.lower().replace("-", "").replace("_", ""), folder.resolve().name)
        name = f"UMURL_{release.prefix}_{protocol}"
    path = Path(out) / f"{bare_name(name or folder.resolve())}.npz"
    splits = {}
    for key, part in parts.items():
        names, own = ([part[what][row] for row in part["rows"]] for what in ("names", "labels"))
        valid = None if part["frames"] is None else part["frames"][part["rows"]]
        sequences = map(partial(_sequence, part["x"]), part["rows"])
        splits[key] = Split(names, np.array([number[label] for label in own]), sequences, list(map(group, names)), valid)
    layout = next((name for name, (names, _) in LAYOUTS.items() if len(names) == joints), "")
    write_dataset(path, splits, frames, count, joints, bodies, layout, class_names=classes and np.array(classes))
    counts = ", ".join(f"{len(split.names):,} {key}" for key, split in splits.items())
    print(f"{path}: {counts}, {count} classes, {frames} frames, {bodies} bodies of {joints} joints")
    for key in PARTS.keys() - parts.keys():
        print(f"{folder}: has no {' or '.join(f'{word}_{JOINTS[0]}' for word in PARTS[key])}; the npz has no {key} part")
    for key, part in parts.items():
        if part["frames"] is None:
            print(f"{folder}: no {PARTS[key][0]}_{FRAMES[0]}: all frames that are not zero count, repetitions included")
    skipped.write(Path(out) / "raw_data" / "skipped.txt")
    return path


def _sequence(x, row):
    """(3, T, V, M) in the row of x -> (T, M·V·3)."""
    return x[row].transpose(1, 3, 2, 0).reshape(x.shape[2], -1)


def _file(folder, word, kinds):
    """The first of the files word_kind, or of those without a word if the folder has one part; None if there is none."""
    alone = sum((folder / f"{w}_{kind}").is_file() for w in ("train", "val", "test") for kind in JOINTS) == 1
    names = [f"{word}_{kind}" for kind in kinds] + [kind for kind in kinds if alone]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _part(folder, words, skipped):
    """{'x' (N, 3, T, V, M) mapped, 'names', 'labels', 'frames' (N,) or None, 'rows' that can be used} or None."""
    word, joints = next(((w, file) for w in words if (file := _file(folder, w, JOINTS))), (None, None))
    if joints is None:
        return None
    try:
        x = np.load(joints, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(f"{joints}: not an npy of numbers ({' '.join(str(error).split())[:80]})") from error
    if x.ndim != 5 or x.shape[1] != 3 or x.dtype.kind not in "iuf" or not x.size:
        shape = " x ".join(map(str, x.shape))
        raise ValueError(f"{joints}: {shape} of type {x.dtype}, not samples x 3 x frames x joints x bodies")
    labels_file = _file(folder, word, LABELS)
    if labels_file is None:
        raise FileNotFoundError(f"{folder / f'{word}_{LABELS[0]}'}: no such file; it holds names and labels of {joints}")
    names, labels = _labels(labels_file, len(x))
    part = {"x": x, "names": names, "labels": labels, "frames": _frames(_file(folder, word, FRAMES), x)}
    return part | {"rows": _usable(joints, part, skipped)}


def _labels(path, count):
    """(names, labels) of a label pickle, for `count` samples."""
    content = pickles.load(path)
    if type(content) not in (tuple, list) or len(content) != 2 or any(np.ndim(side) != 1 for side in content):
        raise ValueError(f"{path}: not the pair (names, labels)")
    names, labels = (np.asarray(side).tolist() for side in content)
    if len(names) != count or len(labels) != count:
        raise ValueError(f"{path}: {len(names)} names and {len(labels)} labels for {count} sequences")
    for row, (name, label) in enumerate(zip(names, labels, strict=True)):
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) < 256:
            raise ValueError(f"{path}: row {row} has no name")
        if type(label) not in (int, str) or type(label) is int and not 0 <= label < 10_000:
            raise ValueError(f"{path}: row {row} has the label {label!r}; whole numbers from 0, or texts")
    return [name.removesuffix(".skeleton") for name in names], labels


def _frames(path, x):
    """(N,) int32 valid frames, or None without a file."""
    if path is None:
        return None
    try:
        frames = np.asarray(pickles.load(path) if path.suffix == ".pkl" else np.load(path, allow_pickle=False))
    except ValueError as error:
        raise ValueError(f"{path}: no array of frame numbers ({' '.join(str(error).split())[:80]})") from error
    if frames.dtype.kind not in "iuf" or frames.size != len(x) or (frames % 1).any():
        raise ValueError(f"{path}: {frames.shape} of type {frames.dtype}, not one whole number for each of {len(x)} sequences")
    wrong = np.flatnonzero((frames.ravel() < 0) | (frames.ravel() > x.shape[2]))
    if len(wrong):
        raise ValueError(f"{path}: row {wrong[0]} says {frames.ravel()[wrong[0]]:g} frames; the arrays hold {x.shape[2]}")
    return frames.ravel().astype(np.int32)


def _usable(path, part, skipped):
    rows = []
    for row, sequence in enumerate(display.bar(part["x"], f"{path.name} checked", len(part["x"]), "seq")):
        frames = None if part["frames"] is None else part["frames"][row]
        seen = sequence[:, :frames]
        if not np.isfinite(seen).all():
            skipped.add(f"{path}: {part['names'][row]!r}: holds values that are not finite")
        elif not seen.any():
            skipped.add(f"{path}: {part['names'][row]!r}: " + ("num_frame is 0" if frames == 0 else "all coordinates are zero"))
        else:
            rows.append(row)
    if not rows:
        raise ValueError(f"{path}: no sequence can be used; the first: {skipped.reasons[-1]}")
    return rows


def _release(parts):
    """NTU60 or NTU120 where all samples have such names, else None."""
    try:
        fields = [ntu_release.parse_name(name) for part in parts.values() for name in part["names"]]
    except ValueError:
        return None
    new = any(each["action"] > ntu_release.NTU60.num_classes or each["setup"] > 17 for each in fields)
    return ntu_release.NTU120 if new else ntu_release.NTU60


def main():
    parser = arguments.parser("UmURL's own arrays: write one npz of a folder.", out=Path(__file__).resolve().parent)
    parser.add_argument("folder", type=Path, help="of one protocol, such as NTU-RGB-D-60-AGCN/xsub")
    parser.add_argument("--name", help="what the npz is called; default: as the data set, such as UMURL_NTU60_XSub")
    args = parser.parse_args()
    generate(args.folder, args.out, args.name, args.strict)


if __name__ == "__main__":
    arguments.run(main)
