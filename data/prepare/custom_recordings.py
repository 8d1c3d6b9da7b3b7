"""Recordings of one's own: sequences in a folder or an npz with a table beside them, or in flat npz files that hold everything.

Whatever they come from, a recording is an array of joints and fields: texts such as its label, split or group.
"""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from data.prepare.array_files import SUFFIXES, ArrayFormat, read_npz
from data.prepare.axes import to_mtvc
from data.prepare.parallel import naming
from data.prepare.transforms import MAX_NAME
from feeder.skeleton import joint_names, parents, tree

TABLE = "labels.csv"


@dataclass
class Recording:
    """where: file and name or line, for messages; fields: {column: text}; load: gives (T, V, C) or (M, T, V, C)."""

    where: str
    name: str
    fields: dict
    load: Callable


@dataclass
class CustomSkeleton:
    """layout: of feeder.skeleton or ''; joint_names: (V,) or None; parents: (V,) int64, the root its own, or None."""

    layout: str = ""
    joint_names: np.ndarray | None = None
    parents: np.ndarray | None = None

    def num_joints(self):
        """V, or None if neither parents nor names are known."""
        array = self.parents if self.parents is not None else self.joint_names
        return None if array is None else len(array)


# ---- the skeleton ------------------------------------------------------------------------------------------------------


def layout_skeleton(layout):
    """The skeleton of a layout in feeder.skeleton."""
    return CustomSkeleton(layout, np.array(joint_names(layout)), parents(layout))


def custom_skeleton(names, above, where):
    """A skeleton from joint names (or None) and parents (or None): joint numbers from 0, or names; -1 or itself at the root.

    Raises ValueError beginning with `where` if they do not fit together.
    """
    names = None if names is None else np.array([str(name) for name in names])
    if above is not None:
        listed = [] if names is None else names.tolist()
        above = above.tolist() if isinstance(above, np.ndarray) else above
        above = [listed.index(a) if a in listed else a for a in above]
        if not above or not all(type(a) is int for a in above):
            raise ValueError(f"{where}: parents has to be a list with the number or the name of the joint above each joint")
        with naming(where):
            above = tree([i if a == -1 else a for i, a in enumerate(above)], len(above))
        if names is not None and len(names) != len(above):
            raise ValueError(f"{where}: {len(names)} joint_names but {len(above)} parents")
    return CustomSkeleton("", names, above)


def read_skeleton_file(path):
    """The `CustomSkeleton` of a YAML or JSON file with joint_names and parents. Raises FileNotFoundError or ValueError."""
    path = _existing(path)
    try:
        content = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: neither YAML nor JSON ({' '.join(str(error).split())[:100]})") from error
    if not isinstance(content, dict) or not isinstance(content.get("parents"), list):
        raise ValueError(f"{path}: needs a list 'parents', and may have a list 'joint_names'")
    if not isinstance(content.get("joint_names", []), list):
        raise ValueError(f"{path}: joint_names is not a list")
    if unknown := content.keys() - {"parents", "joint_names"}:
        raise ValueError(f"{path}: unknown key {sorted(map(str, unknown))[0]!r}; the keys are joint_names and parents")
    return custom_skeleton(content.get("joint_names"), content["parents"], path)


# ---- a folder, or an npz of sequences, with a table ----------------------------------------------------------------------


def from_table(raw, table, sources, skipped):
    """(recordings, remarks) of the folder, zip or npz `raw`, in the order of the rows of the CSV file `table` (name, label, ...).

    sources: of `file_sources` or `npz_sources`. Rows without a sequence, ambiguous and repeated names go to `skipped`; remarks
    name sequences without a row.
    """
    raw, table = Path(raw), _existing(table)
    used, recordings = {}, []
    for line, fields in read_table(table, skipped):
        name, where = fields["name"], f"{table}: line {line}"
        found = sources.get(name, [])
        if not name or len(name) > MAX_NAME:
            skipped.add(f"{where}: the name is empty or longer than {MAX_NAME} characters")
        elif Path(name).is_absolute() or ".." in Path(name).parts:
            skipped.add(f"{where}: {name!r} is no name below {raw}; absolute names and .. are refused")
        elif len(found) != 1:
            files = ", ".join(label for label, _ in found)
            skipped.add(f"{where}: {name!r} " + (f"is ambiguous: {files}" if found else f"is not in {raw}"))
        elif found[0][0] in used:
            skipped.add(f"{where}: {name!r} stands in line {used[found[0][0]]} already")
        else:
            source, load = found[0]
            used[source] = line
            recordings.append(Recording(source, name, fields, load))
    unused = sorted({source for found in sources.values() for source, _ in found} - used.keys())
    return recordings, [f"{source}: has no row in {table} that can be used" for source in unused]


def from_pattern(raw, pattern, files, read):
    """(recordings, remarks) of `files` in the folder or zip `raw`: the named groups of a regular expression, found in a file's
    path below that, are its fields. Remarks name the files in which it is not found.

    read: file -> (M, T, V, C). Raises ValueError if it is no regular expression with a group 'label', or if nothing fits.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--label_pattern {pattern}: no regular expression ({error})") from error
    if "label" not in compiled.groupindex:
        raise ValueError(f"--label_pattern {pattern}: needs a group (?P<label>...), and may have others, such as (?P<group>...)")
    paths = [path_below(file, raw) for file in files]
    stems = [str(Path(path).with_suffix("")) for path in paths]
    recordings, remarks = [], []
    for file, path, stem in zip(files, paths, stems, strict=True):
        if match := compiled.search(path):
            name = stem if stems.count(stem) == 1 else path
            recordings.append(Recording(str(file), name, match.groupdict(""), partial(read, file)))
        else:
            remarks.append(f"{file}: --label_pattern {pattern} is not found in {path!r}")
    if not recordings:
        kinds = f"; the first is {paths[0]!r}" if paths else f" that end in {', '.join(SUFFIXES)}"
        raise ValueError(f"{raw}: --label_pattern {pattern} fits none of {len(paths)} files{kinds}")
    return recordings, remarks


def read_table(path, skipped):
    """[(line number, {column: text})] of a CSV file; rows of another length go to `skipped`.

    Raises ValueError naming the file if it is no CSV file with a column 'name'.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = [(column or "").strip() for column in reader.fieldnames or ()]
            if "name" not in columns or len(set(columns)) < len(columns):
                raise ValueError(f"{path}: the first line has to name the columns, each once: name,label,split,group")
            reader.fieldnames = columns
            rows = []
            for fields in reader:
                if None in fields or None in fields.values():
                    skipped.add(f"{path}: line {reader.line_num}: not {len(columns)} values, as the first line says")
                else:
                    rows.append((reader.line_num, {key: value.strip() for key, value in fields.items()}))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error
    return rows


def files_in(folder):
    """The files below a folder that can be recordings, sorted."""
    return [file for file in sorted(folder.rglob("*")) if file.suffix in SUFFIXES and file.is_file()]


def path_below(file, raw):
    """The path of a file, perhaps inside a zip, below the folder or zip `raw`."""
    return Path(str(file)).relative_to(raw).as_posix()


def file_sources(raw, files, read):
    """{name with or without suffix: [(file, loader), ...]} of `files` in the folder or zip `raw`; read: file -> (M, T, V, C)."""
    sources = {}
    for file in files:
        name, source = Path(path_below(file, raw)), (str(file), partial(read, file))
        for key in (name.as_posix(), name.with_suffix("").as_posix()):
            sources.setdefault(key, []).append(source)
    return sources


def npz_sources(path, form):
    """As `file_sources`, of the arrays of an npz."""
    arrays = read_npz(_existing(path))
    return {key: [(f"{path}: {key}", partial(form.to_bodies, array, f"{path}: {key}"))] for key, array in arrays.items()}


# ---- flat npz files -----------------------------------------------------------------------------------------------------


def from_flat(path, joints_key="joints", offset_key="offset", form=None):
    """(recordings, `CustomSkeleton`) of a flat npz: all frames of all sequences one after the other, and what stands where.

    <joints_key>: (F, V, C), or (M, F, V, C) for several bodies, or as `form.axes` says; (F, M, V, C) where only the first axis
    is as long as <offset_key> says. <offset_key> (N + 1,): sequence i is frames offset[i] to offset[i + 1]; every other (N,)
    array of numbers or strings is a field, 'name' names the sequences; joint_names (V,) and parents (V,) are optional, and not
    used if `form`, an `ArrayFormat`, changes the order of joints. Raises ValueError naming file and key.
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
        raise ValueError(f"{path}: {offset_key} has to be whole numbers: where sequences begin, and where the last one ends")
    frames_first = joints.ndim == 4 and not form.axes and len(joints) == offset[-1] != joints.shape[1]
    joints = to_mtvc(joints, "TMVC" if frames_first else form.order(joints.shape, f"{path}: {joints_key}"))
    frames, num_joints = joints.shape[1:3]
    if offset[0] != 0 or offset[-1] != frames:
        raise ValueError(f"{path}: {offset_key} has to be whole numbers that begin with 0 and end with the {frames} frames")
    if (offset[1:] < offset[:-1]).any():
        raise ValueError(f"{path}: {offset_key} falls after sequence {np.flatnonzero(offset[1:] < offset[:-1])[0]}")
    count = len(offset) - 1
    columns = {key: a for key, a in arrays.items() if a.shape == (count,) and a.dtype.kind in "biuU"}

    def misfit(key, what):
        return ValueError(f"{path}: {key} has shape {arrays[key].shape}, type {arrays[key].dtype}; it needs {what}")

    for key in ("label", "name", "split", "group", "subject"):
        if key in arrays and key not in columns:
            raise misfit(key, f"a whole number or string for each of the {count} sequences")
    for key, kinds, what in (("joint_names", "U", "a string"), ("parents", "iuU", "a whole number or string")):
        if key in arrays and (arrays[key].shape != (num_joints,) or arrays[key].dtype.kind not in kinds):
            raise misfit(key, f"{what} for each of the {num_joints} joints")
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
    return Path(path).is_file() and offset_key in read_npz(path)


def _existing(path):
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return Path(path)
