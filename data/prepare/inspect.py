"""Describe a file: an npz (docs/data.md) or raw data of any kind that the preparation scripts read.

    python -m data.prepare.inspect FILE

also draws a sequence; this command is in scripts/inspect_file.py, because data/ may not import report/.
"""

import difflib
import runpy
from pathlib import Path

import numpy as np

from data.prepare import inspect_formats as formats
from data.prepare.arguments import options_of
from data.prepare.array_files import SUFFIXES
from data.prepare.inspect_formats import Sequence
from data.prepare.intermediate import read_rows
from data.prepare.npz_summary import describe_split
from feeder import skeleton, units
from feeder.npz import open_npz

OWN = tuple(suffix for suffix in SUFFIXES if suffix != ".npz")  # an npz is read as one that the preparation has written
PICKLES = (".pkl", ".pickle")
RECORDINGS = {".skeleton": formats.inspect_skeleton, ".json": formats.inspect_ucla, ".bvh": formats.inspect_bvh}


def inspect(path, split=None, index=None, name=None, layout=None, **form):
    """(lines of text about a file, the chosen `Sequence` or None if there is none).

    split, index, name: choose a sequence of an npz, by default the first that is not all zero; index alone: an action of a
    PKU-MMD video, an annotation of a pickle, a sample of a .npy. layout, form: of your own recording, see
    data.prepare.array_files.ArrayFormat. Raises FileNotFoundError or ValueError in one line: no such file, split or sequence, a
    file of another kind, or a damaged one.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give one file in it")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, *PICKLES, *RECORDINGS):
        raise ValueError(
            f"{path}: unknown kind of file {path.suffix!r}; known are .npz, .skeleton (NTU), .txt (PKU-MMD "
            "skeletons or your own), .json (NW-UCLA), .bvh, .npy, .mat, .csv, .tsv and .pkl"
        )
    own = options_of(form)
    if own and suffix not in OWN:
        kinds = ", ".join(OWN)
        raise ValueError(f"{path}: {next(iter(own))} has no effect on {suffix}, only on a recording of your own: {kinds}")
    if suffix == ".npz":
        return inspect_npz(path, split, index, name)
    if split is not None or name is not None:
        raise ValueError(f"{path}: holds one recording; --split and --name choose a sequence of an npz")
    if suffix == ".txt" and not own and formats.is_pku(path):
        return formats.inspect_pku(path, index)
    if suffix in PICKLES:
        return formats.inspect_pickle(path, layout, index)
    if suffix in RECORDINGS and not own:
        formats.refuse_index(path, index)
        return RECORDINGS[suffix](path)
    return formats.inspect_array(path, layout, index, **form)


def inspect_npz(path, split=None, index=None, name=None):
    """As `inspect`, for an npz."""
    from feeder.feeder_ntu import Feeder  # imported here because torch takes seconds to import, which raw files do not need

    arrays = open_npz(path)
    splits = [key for key in ("train", "test") if f"x_{key}" in arrays]
    if not splits:
        raise ValueError(
            f"{path}: neither x_train nor x_test in it; it has {', '.join(sorted(arrays)) or 'nothing'}; "
            "data/own/own_gendata.py makes such a file from your own recordings, flat files included"
        )
    if split not in (None, *splits):
        raise ValueError(f"{path}: has no split {split!r}, only {' and '.join(splits)}")
    feeders = {key: Feeder(path, key, labelled=False) for key in splits}
    feeder, row = _choose(path, {split: feeders[split]} if split else feeders, index, name)
    joints = read_rows(feeder.x, row, row + 1)[0].reshape(-1, feeder.num_bodies, feeder.num_joints, 3)
    present = np.flatnonzero(joints.any(axis=(1, 2, 3)))
    if not len(present):
        raise ValueError(f"{path}: {feeder.name(row)} has no frame with a body; --index or --name chooses another")
    joints = joints[: present[-1] + 1]

    try:
        parents, joint_names = skeleton.parents_of(arrays, feeder.num_joints), feeder.joint_names()
        bones = "its own skeleton" if "parents" in arrays else f"layout {feeder.layout}"
    except ValueError as error:
        parents, joint_names, bones = None, None, f"no bones: {error}"
    lines = [f"{path}: {feeder.num_joints} joints ({bones}), bodies: {feeder.num_bodies}, classes: {feeder.num_classes}"]
    earlier = {}
    for key in splits:
        lines += [f"{key}: {len(feeders[key]):,} sequences", *describe_split(feeders[key], earlier)]
    title = f"{feeder.key}_{row}" if feeder.names is None else str(feeder.names[row])
    label = feeder.class_title(feeder.label[row])
    lines.append(f"drawn: {feeder.key} --index {row}, {title}, {label}, {len(joints)} frames")
    up = skeleton.up_axis(feeder.layout, joints, feeder.file_metadata.get("how"))
    unit = units.unit_of(feeder.file_metadata)
    return lines, Sequence(title, label, joints, parents, joint_names and tuple(joint_names), up=up, unit=unit)


def _choose(path, feeders, index, name):
    """(feeder, row) of a sequence: index in the first split, or name in any split, or else the first that is not all zero."""
    if index is not None and name is not None:
        raise ValueError("--index and --name both choose a sequence; give one")
    first = next(iter(feeders.values()))
    if name is not None:
        return _find_name(path, feeders, name)
    if index is None:
        return first, next((row for row in range(len(first)) if read_rows(first.x, row, row + 1).any()), 0)
    if not 0 <= index < len(first):
        raise ValueError(f"{path}: --index {index}: {first.key} has the sequences 0 to {len(first) - 1}")
    return first, index


def _find_name(path, feeders, name):
    known = []
    for feeder in feeders.values():
        names = [] if feeder.names is None else feeder.names.tolist()
        if name in names:
            return feeder, names.index(name)
        known += names
    if not known:
        raise ValueError(f"{path}: the sequences have no names; choose with --split and --index")
    near = [other for other in known if name and name in other][:3] or difflib.get_close_matches(name, known)
    raise ValueError(f"{path}: no sequence {name!r}; {'similar' if near else 'the first'}: {', '.join(near or known[:1])}")


if __name__ == "__main__":
    runpy.run_module("scripts.inspect_file", run_name="__main__")
