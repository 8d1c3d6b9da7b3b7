"""One's own recordings: sequences in a folder or an npz with a table beside them, or in flat npz files that hold everything.

Whatever they come from, a recording is an array of joints and fields: texts such as its label, split or group.
"""

import csv
import json
import tokenize
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from data.prepare.sequences import MAX_NAME
from feeder.npz import open_npz
from feeder.skeleton import joint_names, parents, tree

SUFFIXES = (".npy", ".npz", ".csv", ".txt")
TABLE = "labels.csv"


@dataclass
class Recording:
    """where: file and name or line, for messages; fields: {column: text}; load: gives (T, V, C) or (M, T, V, C)."""

    where: str
    name: str
    fields: dict
    load: Callable


@dataclass
class Skeleton:
    """layout: of feeder.skeleton or ''; joint_names: (V,) or None; parents: (V,) int64, the root its own, or None."""

    layout: str = ""
    joint_names: np.ndarray | None = None
    parents: np.ndarray | None = None

    def num_joints(self):
        """V, or None if nothing is known."""
        known = self.parents if self.parents is not None else self.joint_names
        return None if known is None else len(known)


# ---- the skeleton ------------------------------------------------------------------------------------------------------


def named_skeleton(layout):
    """The skeleton of a layout in feeder.skeleton."""
    return Skeleton(layout, np.array(joint_names(layout)), parents(layout))


def own_skeleton(names, above, where):
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
        above = [i if a == -1 else a for i, a in enumerate(above)]
        try:
            above = tree(above, len(above))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if names is not None and len(names) != len(above):
            raise ValueError(f"{where}: {len(names)} joint_names but {len(above)} parents")
    return Skeleton("", names, above)


def read_skeleton_file(path):
    """The `Skeleton` of a YAML or JSON file with joint_names and parents. Raises FileNotFoundError or ValueError naming it."""
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
    return own_skeleton(content.get("joint_names"), content["parents"], path)


# ---- a folder, or an npz of sequences, with a table ----------------------------------------------------------------------


def from_table(raw, table, form, skipped):
    """Recordings of the folder or npz `raw`, in the order of the rows of the CSV file `table` (columns name, label, ...).

    form: (M, V, C) of the rows of text files, or None: one body, three coordinates. Rows without a sequence, sequences without a
    row, ambiguous and repeated names go to `skipped`.
    """
    raw, table = Path(raw), _existing(table)
    sources = _of_folder(raw, table, form) if raw.is_dir() else _of_npz(raw)
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
            used[found[0][0]] = line
            recordings.append(Recording(found[0][0], name, fields, found[0][1]))
    for label in sorted({label for found in sources.values() for label, _ in found} - used.keys()):
        skipped.add(f"{label}: has no row in {table} that can be used")
    return recordings


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


def _of_folder(folder, table, form):
    """{name with or without suffix: [(file, loader), ...]}"""
    sources = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix in SUFFIXES and file.is_file() and file.resolve() != table.resolve():
            name, source = file.relative_to(folder), (str(file), partial(read_file, file, form))
            for key in (name.as_posix(), name.with_suffix("").as_posix()):
                sources.setdefault(key, []).append(source)
    return sources


def _of_npz(path):
    return {key: [(f"{path}: {key}", partial(np.asarray, array))] for key, array in _open(path).items()}


def read_file(path, form=None):
    """The array of a .npy or .npz (one array in it), or of a text file with a row of M·V·C numbers per frame: (M, T, V, C).

    form: (M, V, C) of text files; None: one body, three coordinates. Raises ValueError naming the file.
    """
    if path.suffix == ".npz":
        arrays = _open(path)
        if len(arrays) != 1:
            raise ValueError(f"{path}: holds {len(arrays)} arrays ({', '.join(sorted(arrays)[:5])}) instead of one")
        return next(iter(arrays.values()))
    if path.suffix == ".npy":
        try:
            return np.lib.format.open_memmap(path, mode="r")  # a map cannot ask for more than the file holds
        except (ValueError, EOFError, OverflowError, SyntaxError, TypeError, tokenize.TokenError) as error:
            raise ValueError(f"{path}: not a complete npy file of numbers ({' '.join(str(error).split())[:100]})") from error
    rows = _numbers(path)
    bodies, joints, dims = form or (1, rows.shape[1] // 3, 3)
    if rows.shape[1] != bodies * joints * dims:
        raise ValueError(f"{path}: {rows.shape[1]} numbers a row instead of bodies x joints x coordinates = "
                         f"{bodies} x {joints} x {dims}; --row says how many of each")  # fmt: skip
    return rows.reshape(len(rows), bodies, joints, dims).swapaxes(0, 1)


def read_rows(path, num_joints, dims):
    """As `read_file` of a text file of any number of bodies of V joints of C coordinates. Raises ValueError naming it."""
    rows = _numbers(path)
    bodies, rest = divmod(rows.shape[1], num_joints * dims)
    if rest:
        raise ValueError(f"{path}: {rows.shape[1]} numbers a row; {num_joints} joints have {dims * num_joints} for each body")
    return rows.reshape(len(rows), bodies, num_joints, dims).swapaxes(0, 1)


def _numbers(path):
    """(T, numbers) float64 of a text file: separated by commas, semicolons or blanks, with or without a line of titles."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = [(i, line.replace(",", " ").replace(";", " ").split()) for i, line in enumerate(text.splitlines(), 1)]
    lines = [(i, words) for i, words in lines if words]
    if lines and not any(map(_is_number, lines[0][1])):
        del lines[0]
    if not lines:
        raise ValueError(f"{path}: has no row of numbers")
    for i, words in lines:
        if len(words) != len(lines[0][1]):
            raise ValueError(f"{path}: line {i}: {len(words)} numbers instead of {len(lines[0][1])} as above")
        if not all(map(_is_number, words)):
            word = next(word for word in words if not _is_number(word))
            raise ValueError(f"{path}: line {i}: {word[:40]!r} is not a number")
    return np.array([words for _, words in lines], dtype=np.float64)


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


# ---- flat npz files -----------------------------------------------------------------------------------------------------


def from_flat(path, joints_key="joints", offset_key="offset"):
    """(recordings, `Skeleton`) of a flat npz: all frames of all sequences one below the other, and what stands where.

    <joints_key>: (F, V, C), or (F, M, V, C) for several bodies; <offset_key> (N + 1,): sequence i is frames offset[i] to
    offset[i + 1]; every other (N,) array of numbers or strings is a field, 'name' names the sequences; joint_names (V,) and
    parents (V,) are optional. Raises ValueError naming file and key.
    """
    arrays = _open(path)
    for key in (joints_key, offset_key):
        if key not in arrays:
            raise ValueError(f"{path}: no array {key!r}; it has {', '.join(sorted(arrays))}")
    joints, offset = arrays[joints_key], arrays[offset_key]
    if joints.ndim not in (3, 4):
        raise ValueError(f"{path}: {joints_key} is {' x '.join(map(str, joints.shape))} instead of frames x joints x coordinates "
                         "(or frames x bodies x joints x coordinates)")  # fmt: skip
    if offset.ndim != 1 or offset.dtype.kind not in "iu" or len(offset) < 2 or offset[0] != 0 or offset[-1] != len(joints):
        raise ValueError(f"{path}: {offset_key} has to be whole numbers that begin with 0 and end with the {len(joints)} frames")
    if (offset[1:] < offset[:-1]).any():
        raise ValueError(f"{path}: {offset_key} falls after sequence {np.flatnonzero(offset[1:] < offset[:-1])[0]}")
    count = len(offset) - 1
    columns = {key: a for key, a in arrays.items() if a.shape == (count,) and a.dtype.kind in "biuU"} | {
        "file": np.full(count, Path(path).stem)
    }
    for key in ("label", "name", "split", "group", "subject"):
        if key in arrays and key not in columns:
            raise ValueError(f"{path}: {key} has shape {arrays[key].shape}, type {arrays[key].dtype}; it needs a whole number or "
                             f"string for each of the {count} sequences")  # fmt: skip
    for key, kinds, what in (("joint_names", "U", "a string"), ("parents", "iuU", "a whole number or string")):
        if key in arrays and (arrays[key].shape != joints.shape[-2:-1] or arrays[key].dtype.kind not in kinds):
            raise ValueError(f"{path}: {key} has shape {arrays[key].shape}, type {arrays[key].dtype}; it needs {what} for each "
                             f"of the {joints.shape[-2]} joints")  # fmt: skip
    recordings = []
    for i in range(count):
        fields = {key: str(column[i]) for key, column in columns.items()}
        name = fields.get("name", f"{Path(path).stem}_{i:0{len(str(count - 1))}}")
        recordings.append(Recording(f"{path}: sequence {i}", name, fields, partial(_frames, joints, offset[i], offset[i + 1])))
    return recordings, own_skeleton(arrays.get("joint_names"), arrays.get("parents"), path)


def _frames(joints, begin, end):
    frames = np.asarray(joints[begin:end])
    return frames.swapaxes(0, 1) if frames.ndim == 4 else frames


def is_flat(path, offset_key="offset"):
    """Whether `path` is an npz with an array of this name."""
    return Path(path).is_file() and offset_key in _open(path)


def _open(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a compressed file is loaded: here it is read once
        return open_npz(_existing(path))


def _existing(path):
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return Path(path)
