"""Your own recordings: files of a folder, arrays of an npz, or sequences of a flat npz.

Each becomes a `Recording`: an array of joints, and fields (strings) such as label, split or group.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from data.prepare import transforms
from data.prepare.array_files import SUFFIXES, ArrayFormat, read_npz
from data.prepare.axes import to_mtvc
from data.prepare.custom_skeleton import CustomSkeleton, custom_skeleton
from data.prepare.transforms import MAX_NAME, pieces
from util.files import files_below

TABLE = "labels.csv"


@dataclass
class Recording:
    """where: its file, and array or sequence in that, for messages. fields: {name: string}. load() returns (T, V, C) or
    (M, T, V, C). path: of a file below the folder given, or name of the array in an npz; '' for a sequence of a flat npz."""

    where: str
    name: str
    fields: dict
    load: Callable
    path: str = ""


# ---- the files of a folder, or the arrays of an npz --------------------------------------------------------------------------


def files_in(folder):
    """The files below a folder that can be recordings, sorted. Raises FileNotFoundError if there are none."""
    files = [file for file in sorted(files_below(folder)) if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not files:
        hint = "for .bvh: data/bvh/bvh_gendata.py, for others: docs/data.md, 'Other formats'"
        raise FileNotFoundError(f"{folder}: holds no file that ends in {', '.join(SUFFIXES)}; {hint}")
    return files


def from_files(raw, files, read):
    """A `Recording` without fields for each of `files` in the folder or zip `raw`; read: file -> (M, T, V, C).

    It is named after the path below `raw`, without the suffix unless several files would have the same name.
    """
    paths = [Path(str(file)).relative_to(raw) for file in files]
    count = Counter(path.with_suffix("") for path in paths)
    names = [path.with_suffix("") if count[path.with_suffix("")] == 1 else path for path in paths]
    return [
        Recording(str(file), name.as_posix(), {}, partial(read, file), path.as_posix())
        for file, name, path in zip(files, names, paths, strict=True)
    ]


def from_npz(path, form):
    """A `Recording` without fields for each array of an npz; form: its `ArrayFormat`."""
    return [
        Recording(f"{path}: {key}", key, {}, partial(form.to_bodies, array, f"{path}: {key}"), key)
        for key, array in read_npz(_existing(path)).items()
    ]


# ---- their fields ------------------------------------------------------------------------------------------------------------


def with_fields(raw, recordings, skipped, pattern=None, table=None):
    """(recordings, remarks): the recordings of `raw` with the fields that a regular expression or else a CSV file gives them."""
    if pattern is not None:
        return with_pattern(raw, recordings, pattern)
    return (recordings, []) if table is None else with_table(raw, recordings, _existing(table), skipped)


def with_table(raw, recordings, table, skipped):
    """(recordings, remarks) in the order of the rows of the CSV file `table`, whose columns are the fields.

    The column 'name' holds a path below the folder, zip or npz `raw`, with or without suffix. Rows whose name is invalid,
    ambiguous, repeated or not there are added to `skipped`; remarks: a line for each recording without a row.
    """
    paths, stems = defaultdict(list), defaultdict(list)
    for recording in recordings:
        paths[recording.path].append(recording)
        stems[Path(recording.path).with_suffix("").as_posix()].append(recording)
    used, found = {}, []
    for line, fields in read_table(table, skipped):
        name, where = fields["name"], f"{table}: line {line}"
        matches = paths.get(name) or stems.get(name, [])
        if not name or len(name) > MAX_NAME:
            skipped.add(f"{where}: the name is empty or longer than {MAX_NAME} characters")
        elif Path(name).is_absolute() or ".." in Path(name).parts:
            skipped.add(f"{where}: {name!r} is not a path below {raw}; absolute paths and .. are refused")
        elif not matches:
            skipped.add(f"{where}: {name!r} is not in {raw}")
        elif len(matches) > 1:
            skipped.add(f"{where}: {name!r} is ambiguous: {', '.join(match.where for match in matches)}")
        elif matches[0].path in used:
            skipped.add(f"{where}: {name!r} is already in line {used[matches[0].path]}")
        else:
            used[matches[0].path] = line
            found.append(replace(matches[0], name=name, fields=fields))
    return found, [f"{r.where}: has no usable row in {table}" for r in recordings if r.path not in used]


def with_pattern(raw, recordings, pattern):
    """(recordings, remarks): a regular expression is searched in each path below `raw`, and its named groups are the fields.

    remarks: a line for each recording that it does not match. Raises ValueError if the expression is invalid, has no group
    'label', or matches none.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--label_pattern {pattern}: not a regular expression ({error})") from error
    if "label" not in compiled.groupindex:
        raise ValueError(f"--label_pattern {pattern}: needs a group (?P<label>...), and may have others, such as (?P<group>...)")
    matches = [compiled.search(recording.path) for recording in recordings]
    if recordings and not any(matches):
        first = recordings[0].path
        raise ValueError(f"{raw}: --label_pattern {pattern} matches none of {len(recordings)} files; the first is {first!r}")
    pairs = list(zip(recordings, matches, strict=True))
    remarks = [f"{r.where}: --label_pattern {pattern} does not match {r.path!r}" for r, match in pairs if not match]
    return [replace(recording, fields=match.groupdict("")) for recording, match in pairs if match], remarks


def read_table(path, skipped):
    """[(line number, {column: string})] of a CSV file; rows with missing or extra values are added to `skipped`.

    Raises ValueError naming the file if it is not a CSV file with a column 'name'.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = [(column or "").strip() for column in reader.fieldnames or ()]
            if "name" not in columns or len(set(columns)) < len(columns):
                found = ", ".join(map(repr, columns[:6]))
                raise ValueError(
                    f"{path}: the first line has to name the columns, each once: name,label,split,group; it has {found}"
                )
            reader.fieldnames = columns
            rows = []
            for fields in reader:
                if None in fields or None in fields.values():
                    skipped.add(f"{path}: line {reader.line_num}: not {len(columns)} values, one for each column")
                else:
                    rows.append((reader.line_num, {key: value.strip() for key, value in fields.items()}))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error
    return rows


def at_their_rate(recordings, form):
    """(recordings, form) with each recording resampled from the frames per second of its field 'fps', if some have this field.

    form: the `ArrayFormat`, with which later recordings are resampled, too, if they are not of its target_fps. Raises ValueError
    if it has an fps itself; loading a recording whose field is no number of at least target_fps does.
    """
    if not any("fps" in recording.fields for recording in recordings):
        return recordings, form
    if form.fps is not None:
        raise ValueError(f"--fps {form.fps:g}: the labels have a column fps; leave one of them out")

    def load(recording):
        text = recording.fields.get("fps", "")
        try:
            rate = float(text)
        except ValueError:
            rate = 0.0
        if not form.target_fps <= rate < np.inf:
            wanted = f"at least --target_fps {form.target_fps:g}; recordings are not upsampled"
            raise ValueError(f"{recording.where}: fps {text!r} is not a number of frames per second, {wanted}")
        bodies = np.asarray(recording.load())
        return transforms.resample(bodies[None] if bodies.ndim == 3 else bodies, rate / form.target_fps)

    return [replace(recording, load=partial(load, recording)) for recording in recordings], replace(form, fps=form.target_fps)


def cut(recordings, window):
    """[(recording, its number of frames), ...] -> the list of their pieces, each a `Recording` of at most `window` frames.

    The pieces of a recording without a group are a group of their own, which keeps them in one split.
    """
    last = {}  # the recording that was read last, since its pieces are read one after another

    def load(recording, part):
        if last.get("recording") is not recording:
            last.update(recording=recording, joints=recording.load())
        return last["joints"][..., part, :, :]

    def piece(recording, suffix, part):
        own = {} if recording.fields.get("group") or recording.fields.get("subject") else {"group": recording.name}
        return replace(
            recording, name=recording.name + suffix, fields=recording.fields | own, load=partial(load, recording, part)
        )

    return [piece(recording, *which) for recording, length in recordings for which in pieces(length, window)]


# ---- flat npz files -----------------------------------------------------------------------------------------------------


def from_flat(path, joints_key="joints", offset_key="offset", form=None):
    """(recordings, `CustomSkeleton`) of a flat npz, which holds the frames of all sequences one after the other.

    <joints_key>: (F, V, C), or (M, F, V, C) for several bodies, or in the order `form.axes`; (F, M, V, C) is recognised if only
    the first axis has the length that <offset_key> gives. <offset_key> (N + 1,): sequence i is frames offset[i] to
    offset[i + 1] - 1. Every other (N,) array of numbers or strings is a field; 'name' is the name of the sequence.
    joint_names (V,) and parents (V,) are optional, and ignored if `form`, an `ArrayFormat`, changes the order of joints.
    Raises ValueError naming file and key.
    """
    form = form or ArrayFormat()
    arrays = read_npz(_existing(path))
    for key in (joints_key, offset_key):
        if key not in arrays:
            raise ValueError(f"{path}: no array {key!r}; it has {', '.join(sorted(arrays))}")
    joints, offset = arrays[joints_key], arrays[offset_key]
    if joints.ndim not in (3, 4):
        raise ValueError(
            f"{path}: {joints_key} is {' x '.join(map(str, joints.shape))} instead of frames x joints x coordinates "
            "(or bodies x frames x joints x coordinates)"
        )
    if offset.ndim != 1 or offset.dtype.kind not in "iu" or len(offset) < 2:
        raise ValueError(f"{path}: {offset_key} has to be whole numbers: where each sequence begins, and where the last one ends")
    frames_first = joints.ndim == 4 and not form.axes and len(joints) == offset[-1] != joints.shape[1]
    joints = to_mtvc(joints, "TMVC" if frames_first else form.order(joints.shape, f"{path}: {joints_key}"))
    frames, num_joints = joints.shape[1:3]
    if offset[0] != 0 or offset[-1] != frames:
        raise ValueError(f"{path}: {offset_key} has to be whole numbers that begin with 0 and end with the {frames} frames")
    if (offset[1:] < offset[:-1]).any():
        raise ValueError(f"{path}: {offset_key} falls after sequence {np.flatnonzero(offset[1:] < offset[:-1])[0]}")
    count = len(offset) - 1
    of_joints = ("joint_names", "parents")  # also where there are as many joints as sequences
    columns = {key: a for key, a in arrays.items() if key not in of_joints and a.shape == (count,) and a.dtype.kind in "biufU"}

    def invalid(key, wanted):
        return ValueError(f"{path}: {key} has shape {arrays[key].shape}, type {arrays[key].dtype}; it needs {wanted}")

    for key in ("label", "name", "split", "group", "subject"):
        if key in arrays and (key not in columns or columns[key].dtype.kind == "f"):
            raise invalid(key, f"a whole number or string for each of the {count} sequences")
    for key, kinds, wanted in (("joint_names", "U", "a string"), ("parents", "iuU", "a whole number or string")):
        if key in arrays and (arrays[key].shape != (num_joints,) or arrays[key].dtype.kind not in kinds):
            raise invalid(key, f"{wanted} for each of the {num_joints} joints")
    recordings = []
    for i in range(count):
        fields = {key: str(column[i]) for key, column in columns.items()} | {"file": Path(path).stem}
        name = fields.get("name", f"{Path(path).stem}_{i:0{len(str(count - 1))}}")
        where, sequence = f"{path}: sequence {i}", joints[:, offset[i] : offset[i + 1]]
        recordings.append(Recording(where, name, fields, partial(form.to_bodies, sequence, where, axes="MTVC")))
    if form.joint_order:
        return recordings, CustomSkeleton()
    return recordings, custom_skeleton(arrays.get("joint_names"), arrays.get("parents"), path)


def is_flat(path, offset_key="offset"):
    """Whether `path` is an npz with an array of this name."""
    return Path(path).is_file() and Path(path).suffix.lower() == ".npz" and offset_key in read_npz(path)


def _existing(path):
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return Path(path)
