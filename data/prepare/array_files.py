"""Read files of one recording each (arrays, text, Kinect v2) as bodies x frames x joints x coordinates (M, T, V, C)."""

import math
import re
import tokenize
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.prepare import checks, parallel, transforms
from data.prepare.axes import possible_orders, to_mtvc
from data.prepare.denoise import read_actors
from feeder.npz import open_npz
from util.validation import one_line

TEXT = (".csv", ".tsv", ".txt")
SUFFIXES = (".npy", ".npz", ".mat", *TEXT, ".skeleton")
TOP = 20  # lines of a text file that may be about the recording


@dataclass(frozen=True)
class ArrayFormat:
    """The format of a file; `arguments.add_format` has an option for each field.

    form: (M, V, C) of a frame. axes: letters of an array's axes, or of a text file's rows and then columns; default TVC or MTVC,
    VCT for .mat. columns: a letter for each number of a joint, such as xyz_ (_ is left out). skip_columns: columns of a row that
    are left out before that; skip_rows: lines at the top of a text file. joint_order: for each joint its number in the file.
    midpoints: (name, i, j) of joints, numbered in this order, between which one more is put, behind all others.
    fill: the longest gap, in frames, of a missing joint that is interpolated, see transforms.fill_gaps. fps, target_fps: frames
    per second of the file, and after resampling. up: axis of the file that points up, which is rotated to y. key: the array to
    read if a file has several. num_joints: V of the file, if known. checks: raise `checks.Misread` for implausible recordings.
    """

    form: tuple | None = None
    axes: str | None = None
    columns: str | None = None
    skip_columns: tuple = ()
    skip_rows: int = 0
    joint_order: tuple | None = None
    midpoints: tuple = ()
    fill: int = 0
    fps: float | None = None
    target_fps: float = 30.0
    up: str = "y"
    key: str = "joints"
    num_joints: int | None = None
    checks: bool = True

    def __post_init__(self):
        columns = self.columns
        if columns is not None and sorted(columns.replace("_", "")) not in (["x", "y"], ["x", "y", "z"]):
            raise ValueError(
                f"--columns {columns}: a letter for every number of a joint: x, y and perhaps z once each, _ for the others, "
                "such as xyz_"
            )
        if self.axes is not None and sorted(self.axes) not in (sorted("TVC"), sorted("MTVC")):
            raise ValueError(
                f"--axes {self.axes}: T, V, C and perhaps M (frames, joints, coordinates, bodies) once each, such as TMVC"
            )
        if self.form and columns and self.form[2] not in (len(columns), self.dims):
            row = " ".join(map(str, self.form))
            raise ValueError(f"--row {row}: {self.form[2]} numbers per joint, --columns {columns} has {len(columns)}")
        if self.joint_order is not None and min(self.joint_order, default=-1) < 0:
            raise ValueError("--joint_order: numbers of joints, from 0")
        if self.fps is not None and not self.fps >= self.target_fps > 0:
            raise ValueError(f"--fps {self.fps:g}: at least --target_fps {self.target_fps:g}; recordings are not upsampled")

    @property
    def numbers(self):
        """How many numbers a joint has in the file."""
        return len(self.columns) if self.columns else self.form[2] if self.form else 3

    @property
    def dims(self):
        """How many of them are coordinates, 2 or 3."""
        return len(self.columns.replace("_", "")) if self.columns else self.numbers

    def as_dict(self):
        """The fields that are not the default, as plain values for an npz, so that later recordings can be read alike."""
        given = {key: value for key, value in asdict(self).items() if key not in ("key", "num_joints", "checks")}
        given = {key: value for key, value in given.items() if value and value != getattr(ArrayFormat, key)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}

    def read(self, path):
        """(M, T, V, C) of a file. Raises ValueError in one line naming it."""
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".skeleton":
            return self.to_bodies(read_actors(path), path, axes="MTVC")
        if suffix in TEXT:
            rows, names = read_text(path, self.skip_rows, with_gaps=self.fill > 0)
            return self.to_bodies(self._split_rows(path, rows, names), path, axes="MTVC")
        return self.to_bodies(read_array(path, self.key), path, mat=suffix == ".mat")

    def to_bodies(self, array, where, mat=False, axes=None):
        """(M, T, V, C) of an array; axes: their order, if known. Raises ValueError beginning with `where`."""
        array = np.asarray(array)
        if array.ndim == 2 and array.dtype.kind in "iuf" and (self.form or self.num_joints):
            array, axes = self._split_rows(where, array), "MTVC"
        if array.ndim not in (3, 4) or array.dtype.kind not in "iuf":
            hint = "; --row BODIES JOINTS COORDINATES gives the shape of a row" if array.ndim == 2 else ""
            raise ValueError(
                f"{where}: {transforms.describe_array(array)} instead of numbers, frames x joints x coordinates "
                f"(or bodies x frames x joints x coordinates){hint}"
            )
        bodies = to_mtvc(array, axes or self.order(array.shape, where, mat))
        alone = axes is None and bodies.shape[3] == self.dims  # an array may have the coordinates without the other numbers
        if self.columns and not (alone and "_" in self.columns):
            if bodies.shape[3] != len(self.columns):
                raise ValueError(f"{where}: {bodies.shape[3]} numbers per joint, --columns has {len(self.columns)}")
            bodies = bodies[..., [self.columns.index(letter) for letter in "xyz"[: self.dims]]]
        if self.checks and bodies.size and bodies.shape[3] in (2, 3):
            checks.check_bodies(bodies, array.shape, where)
        if self.joint_order is not None:
            if max(self.joint_order) >= bodies.shape[2]:
                raise ValueError(f"{where}: {bodies.shape[2]} joints, --joint_order names joint {max(self.joint_order)}, from 0")
            bodies = bodies[:, :, list(self.joint_order)]
        if self.fill:
            with parallel.naming(where):
                bodies = transforms.fill_gaps(bodies, self.fill)
        elif bodies.dtype.kind == "f" and len(wrong := np.argwhere(~np.isfinite(bodies))):
            _, frame, joint, _ = wrong[0]
            what = "has a coordinate that is not a finite number; --fill FRAMES interpolates short gaps"
            raise ValueError(f"{where}: frame {frame}, joint {joint} {what}")
        for name, *pair in self.midpoints:
            if max(pair) >= bodies.shape[2]:
                raise ValueError(f"{where}: {bodies.shape[2]} joints, --midpoints {name} names joint {max(pair)}, from 0")
            bodies = np.concatenate([bodies, bodies[:, :, pair].mean(axis=2, keepdims=True)], axis=2)
        bodies = transforms.to_y_up(bodies, self.up)
        return bodies if self.fps is None else transforms.resample(bodies, self.fps / self.target_fps)

    def order(self, shape, where, mat=False):
        """The order of the axes of an array, as --axes or the rule says. Raises ValueError if that is not possible."""
        given, rule = " x ".join(map(str, shape)), "MTVC"[-len(shape) :]
        if self.axes:
            order = self.axes.replace("M", "") if len(self.axes) == len(shape) + 1 else self.axes  # one body has no M
            if len(order) != len(shape):
                raise ValueError(f"{where}: {given} are {len(shape)} axes, --axes {self.axes} names {len(order)}")
            return order
        orders = possible_orders(shape, coordinates=(2, 3, self.numbers))
        if mat and "VCT" in orders:
            return "VCT"
        if rule not in orders:
            options = " or ".join(f"--axes {order}" for order in [*orders][:2]) or "--axes, such as VCT"
            hint = f"give the order of axes: {options}"
            if shape[-1] == 4:
                hint = "--columns xyz_ keeps three of four numbers per joint"
            what = "bodies x " * (len(shape) == 4) + "frames x joints x 2 or 3 coordinates"
            raise ValueError(f"{where}: {given} instead of {what}; {hint}")
        if shape[0] == 3 and shape[-1] == 2 and len(shape) == 4 and not self.form:  # ST-GCN's arrays: coordinates come first
            raise ValueError(f"{where}: {given} is 3 bodies in 2D or 2 bodies in 3D: give --axes MTVC or --axes CTVM")
        return rule

    def _split_rows(self, where, rows, names=()):
        """(M, T, V, numbers) of rows (R, K) of a text file: one row per frame or, if a row is one joint, V rows per frame. names:
        those of the columns, if the file has them."""
        if self.skip_columns:
            if max(self.skip_columns) >= rows.shape[1] or min(self.skip_columns) < -rows.shape[1]:
                raise ValueError(f"{where}: {rows.shape[1]} numbers per row, --skip_columns has a column outside these")
            names = np.delete(names, list(self.skip_columns)) if len(names) == rows.shape[1] else ()
            rows = np.delete(rows, list(self.skip_columns), axis=1)
        if self.checks:
            checks.check_columns(rows, self.numbers, where, names)
        # the table is an array with these axes, of which the first `outer` are along its rows and the others along its columns
        letters = self.axes or "TMVC"
        letters = letters if "M" in letters else "M".join((letters[0], letters[1:]))
        bodies, joints, _ = self.form or (None, self.num_joints, None)
        sizes = {"M": bodies, "V": joints, "C": self.numbers, "T": None}
        of_joint = rows.shape[1] == self.numbers and letters == "TMVC" and (joints or 0) * (bodies or 1) > 1
        if rows.shape[1] == self.numbers and letters == "TMVC" and joints is None:
            raise ValueError(
                f"{where}: {self.numbers} numbers per row, so a row is one joint; --row BODIES JOINTS {self.numbers} gives the "
                "shape of a frame"
            )
        outer = 3 if of_joint else 1
        if not sizes["M"]:  # as many bodies as fill a row, if a row is one frame and the number of joints is known
            per_body = math.prod(sizes[x] or 1 for x in letters[outer:] if x != "M")
            sizes["M"] = rows.shape[1] // per_body or 1 if joints and not of_joint and letters[0] == "T" else 1
        # one unknown size along the rows, and one along the columns, follow from the table's shape
        for part, count in ((letters[:outer], rows.shape[0]), (letters[outer:], rows.shape[1])):
            unknown = [letter for letter in part if not sizes[letter]]
            known = math.prod(sizes[letter] for letter in part if sizes[letter])
            if len(unknown) == 1 and count and count % known == 0:
                sizes[unknown[0]] = count // known
            if math.prod(sizes[letter] or 0 for letter in part) != count:
                raise ValueError(self._wrong_size(where, rows.shape, sizes, of_joint))
        return to_mtvc(rows.reshape([sizes[letter] for letter in letters]), letters)

    def _wrong_size(self, where, shape, sizes, of_joint):
        """The message for a table (R, K) that is not a whole number of frames or joints."""
        if of_joint:
            return f"{where}: {shape[0]} rows of one joint are not a whole number of frames of {sizes['M']} x {sizes['V']} joints"
        joints = sizes["V"] or shape[1] // self.numbers
        hint = checks.suggest_columns(shape[1], sizes["V"], self.columns)
        if sizes["V"] and not (self.form and self.form[0]):
            return f"{where}: {shape[1]} numbers per row; {joints} joints have {joints * self.numbers} for each body{hint}"
        return (
            f"{where}: {shape[1]} numbers per row instead of bodies x joints x coordinates = {sizes['M']} x {joints} x "
            f"{self.numbers}; --row gives these three{hint}"
        )


# ---- files --------------------------------------------------------------------------------------------------------------


def read_array(path, key="joints"):
    """The array of a .npy, or the array `key`, or the only one, of a .npz or .mat. Raises ValueError naming the file."""
    if path.suffix.lower() == ".npy":
        try:
            return np.lib.format.open_memmap(path, mode="r")  # maps no more than the file holds, whatever its header says
        except (ValueError, EOFError, OverflowError, SyntaxError, TypeError, tokenize.TokenError) as error:
            raise ValueError(f"{path}: not a complete npy file of numbers ({one_line(error)[:100]})") from error
    found = read_mat(path) if path.suffix.lower() == ".mat" else read_npz(path)
    if len(found) != 1 and key not in found:
        names = ", ".join(sorted(found)[:5])
        raise ValueError(
            f"{path}: holds {len(found)} arrays ({names}) instead of one; --joints_key names the one with the joints"
        )
    return found[key] if key in found else next(iter(found.values()))


def read_npz(path):
    """{name: array} of an npz, without the warning about compressed ones: they are read only once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_npz(path)


def read_mat(path):
    """{name: array of numbers} of a MATLAB file of version 4 to 7. Raises ValueError naming the file."""
    from scipy.io import loadmat  # imported here because only .mat files need it

    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(f"{path}: a MATLAB 7.3 file (HDF5), which cannot be read; save it in MATLAB with '-v7'") from error
    except Exception as error:  # scipy raises errors of many types for damaged files
        raise ValueError(f"{path}: not a complete MATLAB file ({one_line(error)[:100]})") from error
    content = {key: value for key, value in content.items() if not key.startswith("__")}
    found = {
        key: value for key, value in content.items() if getattr(value, "dtype", np.dtype("O")).kind in "iuf" and value.size > 1
    }
    if not found:
        raise ValueError(f"{path}: holds no array of numbers; it has {', '.join(sorted(content)) or 'nothing'}")
    return found


def _is_number(word):
    try:
        float(word)
        return True
    except ValueError:
        return False


_WITH_COMMA = r"([-+]?\d*,\d+(?:[eE][-+]?\d+)?)"
_DECIMAL_COMMA = re.compile(rf"(?:^|[;\s]){_WITH_COMMA}(?=[;\s])|[;\s]{_WITH_COMMA}$")  # between other separators


def _check_cells(path, text, header, rows):
    """Raise ValueError for an empty cell: without it, the joints after it would take the places of those before them. text: all
    lines; header, rows: the numbers of those with names (or None) and with numbers. A separator may end every row."""
    cells = {i: re.split("[,;\t]", text[i - 1].strip(" \r\n")) for i in ([header] if header else []) + rows}
    if all(len(cells[i]) > 1 and not cells[i][-1].strip() for i in rows):
        cells = {i: row[:-1] if not row[-1].strip() else row for i, row in cells.items()}
    for i in rows:
        # blanks beside a comma separate nothing, and neither does the second of two tabs
        empty = [k for k, cell in enumerate(cells[i], 1) if not cell.strip()] if re.search("[,;]", text[i - 1]) else []
        if empty:
            raise ValueError(
                f"{path}: line {i}: column {empty[0]} of {len(cells[i])} is empty; every joint needs a number, or --fill"
            )
    numbers = len(cells[rows[0]])
    if header and len(cells[header]) > numbers > 1:
        raise ValueError(f"{path}: line {rows[0]}: {numbers} numbers below {len(cells[header])} names")


MISSING = {"", "na", "n/a", "null", "none", "-"}  # besides nan


def fill_cells(lines):
    """Lines of text with 'nan' in cells without a number: of rows that have one, and of rows of separators alone. A separator may
    end every row."""
    cells = [[cell.strip() for cell in re.split("[,;\t]", line)] for line in lines]
    rows = [i for i, row in enumerate(cells) if len(row) > 1 and (any(map(_is_number, row)) or not any(row))]
    extra = bool(rows) and not any(cells[i][-1] for i in rows)
    filled = {i: ["nan" if cell.lower() in MISSING else cell for cell in cells[i][: -1 if extra else None]] for i in rows}
    return [" ".join(filled[i]) if i in filled else line for i, line in enumerate(lines)]


def read_text(path, skip_rows=0, with_gaps=False):
    """(rows (R, K) float64, names of the columns or []) of a text file: numbers separated by commas, semicolons or blanks, with
    or without a header line, below skip_rows other lines. with_gaps: an empty cell is a missing number, nan. Raises ValueError
    naming file and line for what is no number, or may be a number with a decimal comma."""
    text = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    text[:skip_rows] = [""] * len(text[:skip_rows])
    for i, line in enumerate(text, 1):
        separates = re.search(r",\s|\s,", line.strip())  # so that a comma does it everywhere in the line
        if not separates and (found := _DECIMAL_COMMA.search(line.strip())):
            word = found[1] or found[2]
            raise ValueError(f"{path}: line {i}: {word!r} is one number or two; write decimal points, and one kind of separator")
    text = fill_cells(text) if with_gaps else text
    lines = [(i, line.replace(",", " ").replace(";", " ").split()) for i, line in enumerate(text, 1)]
    lines = [(i, words) for i, words in lines if words]
    header, names = lines.pop(0) if lines and not any(map(_is_number, lines[0][1])) else (None, [])
    if not lines:
        raise ValueError(f"{path}: has no row of numbers")
    _check_cells(path, text, header, [i for i, _ in lines])
    for i, words in lines:
        if len(words) != len(lines[0][1]):
            raise ValueError(f"{path}: line {i}: {len(words)} numbers instead of {len(lines[0][1])} as in the lines above")
        if not all(map(_is_number, words)):
            word = next(word for word in words if not _is_number(word))
            hint = "; --skip_rows N leaves out N lines at the top" if i <= TOP else ""
            raise ValueError(f"{path}: line {i}: {word[:40]!r} is not a number{hint}")
    return np.array([words for _, words in lines], dtype=np.float64), names
