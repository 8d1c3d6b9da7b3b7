"""Arrays of UmURL or 2s-AGCN, (N, C, T, V, M) in npy files with pickled labels -> one npz per folder.

A folder is one protocol: train_data_joint.npy, train_num_frame.npy and train_label.pkl, which holds (names, labels), and the same
files of val or test. Arrays are memory-mapped: one sequence is in memory at a time.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the repository: the script runs from any folder

from data.prepare import arguments, ntu_release, parallel, pickles
from data.prepare.array_files import read_array
from data.prepare.splits import group
from data.prepare.transforms import MAX_NAME, describe_array
from feeder.labels import ordered
from feeder.npz import Split, write_dataset
from feeder.skeleton import layout_of
from util import console, errors
from util.files import bare_name

PREFIXES = {"train": ("train",), "test": ("val", "test")}  # split of the npz -> first part of its files' names
JOINTS, FRAMES, LABELS = "data_joint.npy", "num_frame.npy", "label.pkl"  # last part
PROTOCOLS = {"xsub": "XSub", "xview": "XView", "xset": "XSet", "xsetup": "XSet"}


@dataclass
class Part:
    """x: (N, 3, T, V, M), memory-mapped; names, labels: N each; frames: (N,) int32 valid frames or None; rows: usable ones."""

    x: np.ndarray
    names: list
    labels: list
    frames: np.ndarray | None
    rows: list

    def split(self, number):
        """The `Split` of an npz; number: {label: class}."""
        names = [self.names[row] for row in self.rows]
        labels = np.array([number[self.labels[row]] for row in self.rows])
        # (3, T, V, M) -> (T, M·V·3)
        sequences = (self.x[row].transpose(1, 3, 2, 0).reshape(self.x.shape[2], -1) for row in self.rows)
        return Split(names, labels, sequences, list(map(group, names)), None if self.frames is None else self.frames[self.rows])


def generate(folder, out, name=None, strict=False):
    """Write out/<name>.npz from the arrays in `folder`; returns its path. If only one split is there, the npz has only that one.

    name: default the data set's, such as UMURL_NTU60_XSub, if all samples have NTU names, else the folder's. Sequences that are
    all zero or not finite, or whose num_frame is 0, are listed in out/raw_data/<name>_skipped.txt; with `strict` the first one
    raises ValueError. Raises FileNotFoundError or ValueError in one line naming the missing or invalid file.
    """
    folder, skipped = Path(folder), parallel.Skipped(strict)
    parts = {split: part for split, prefixes in PREFIXES.items() if (part := _read_part(folder, prefixes, skipped))}
    if not parts:
        raise FileNotFoundError(f"{folder}: has neither {' nor '.join(f'{p}_{JOINTS}' for p in ('train', 'val', 'test'))}")
    shapes = {part.x.shape[2:] for part in parts.values()}
    labels = [label for part in parts.values() for label in part.labels]
    kinds = set(map(type, labels))
    if len(shapes) > 1 or len(kinds) > 1:
        what = "frames, joints or bodies" if len(shapes) > 1 else "kinds of labels"
        raise ValueError(f"{folder}: train and test differ in {what}")
    (frames, joints, bodies), release = next(iter(shapes)), _find_release(parts.values())
    classes = ordered(set(labels)) if kinds == {str} else None
    number = {label: classes.index(label) if classes else label for label in set(labels)}
    count = len(classes) if classes else max([*labels, release.num_classes - 1 if release else 0]) + 1
    if name is None and release:
        protocol = folder.resolve().name
        name = f"UMURL_{release.prefix}_{PROTOCOLS.get(protocol.lower().replace('-', '').replace('_', ''), protocol)}"
    path = Path(out) / f"{bare_name(name or folder.resolve())}.npz"
    splits = {key: part.split(number) for key, part in parts.items()}
    write_dataset(path, splits, frames, count, joints, bodies, layout_of(joints), class_names=classes)
    counts = ", ".join(f"{len(split.names):,} {key}" for key, split in splits.items())
    print(f"{path}: {counts}, {count} classes, {frames} frames, {bodies} bodies of {joints} joints")
    for key, prefixes in PREFIXES.items():
        if key not in parts:
            print(f"{folder}: has no {' or '.join(f'{prefix}_{JOINTS}' for prefix in prefixes)}; the npz has no {key} split")
        elif parts[key].frames is None:
            print(f"{folder}: no {prefixes[0]}_{FRAMES}: all frames that are not zero are valid, repetitions included")
    skipped.write(parallel.skipped_path(path))
    return path


def _read_part(folder, prefixes, skipped):
    """The `Part` of the files with the first of the prefixes that exists, or None."""
    prefix = next((prefix for prefix in prefixes if (folder / f"{prefix}_{JOINTS}").is_file()), None)
    if prefix is None:
        return None
    path, labels_file, frames_file = (folder / f"{prefix}_{name}" for name in (JOINTS, LABELS, FRAMES))
    x = read_array(path)
    if x.ndim != 5 or x.shape[1] != 3 or x.dtype.kind not in "iuf" or not x.size:
        raise ValueError(f"{path}: {describe_array(x)}, not samples x 3 x frames x joints x bodies")
    if not labels_file.is_file():
        raise FileNotFoundError(f"{labels_file}: no such file; it holds names and labels of {path}")
    part = Part(x, *_read_labels(labels_file, len(x)), _read_frames(frames_file, x) if frames_file.is_file() else None, [])
    before = len(skipped.reasons)
    for row, sequence in enumerate(console.bar(x, f"{path.name} checked", len(x), "seq")):
        frames = None if part.frames is None else part.frames[row]
        if not np.isfinite(sequence[:, :frames]).all():
            skipped.add(f"{path}: {part.names[row]!r}: holds values that are not finite")
        elif not sequence[:, :frames].any():
            skipped.add(f"{path}: {part.names[row]!r}: " + ("num_frame is 0" if frames == 0 else "all coordinates are zero"))
        else:
            part.rows.append(row)
    if not part.rows:
        raise ValueError(f"{path}: no sequence can be used; the first: {skipped.reasons[before]}")
    return part


def _read_labels(path, count):
    """(names, labels) of a label pickle, for `count` samples."""
    content = pickles.load(path)
    if type(content) not in (tuple, list) or len(content) != 2 or any(np.ndim(column) != 1 for column in content):
        raise ValueError(f"{path}: not the pair (names, labels)")
    names, labels = (np.asarray(column).tolist() for column in content)
    if len(names) != count or len(labels) != count:
        raise ValueError(f"{path}: {len(names)} names and {len(labels)} labels for {count} sequences")
    for row, (name, label) in enumerate(zip(names, labels, strict=True)):
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= MAX_NAME:
            raise ValueError(f"{path}: row {row} has no name")
        if type(label) not in (int, str) or type(label) is int and not 0 <= label < 10_000:
            raise ValueError(f"{path}: row {row} has the label {label!r}, not a whole number from 0 or a string")
    return [name.removesuffix(".skeleton") for name in names], labels


def _read_frames(path, x):
    """(N,) int32 valid frames."""
    frames = np.asarray(read_array(path))
    if frames.dtype.kind not in "iuf" or frames.size != len(x) or (frames % 1).any():
        raise ValueError(f"{path}: {frames.shape} of type {frames.dtype}, not one whole number for each of {len(x)} sequences")
    frames = frames.ravel()
    if len(wrong := np.flatnonzero((frames < 0) | (frames > x.shape[2]))):
        raise ValueError(f"{path}: row {wrong[0]} is {frames[wrong[0]]:g} frames; the arrays have {x.shape[2]}")
    return frames.astype(np.int32)


def _find_release(parts):
    """NTU60 or NTU120 if all samples have NTU names, else None."""
    try:
        fields = [ntu_release.parse_name(name) for part in parts for name in part.names]
    except ValueError:
        return None
    new = any(each["action"] > ntu_release.NTU60.num_classes or each["setup"] > 17 for each in fields)
    return ntu_release.NTU120 if new else ntu_release.NTU60


def main():
    parser = arguments.parser("Arrays of UmURL or 2s-AGCN: write one npz.", out=Path(__file__).resolve().parent)
    parser.add_argument("folder", type=Path, help="folder of one protocol, such as NTU-RGB-D-60-AGCN/xsub")
    parser.add_argument("--name", help="name of the npz; default: the data set's, such as UMURL_NTU60_XSub, or the folder's")
    args = parser.parse_args()
    generate(args.folder, args.out, args.name, args.strict)


if __name__ == "__main__":
    errors.main(main)
