"""Files of one recording each, whatever their form, as arrays bodies x frames x joints x coordinates (M, T, V, C)."""

import math
import tokenize
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.prepare import checks, transforms
from data.prepare.axes import possible, to_mtvc
from feeder.npz import open_npz

SUFFIXES = (".npy", ".npz", ".mat", ".csv", ".txt")


@dataclass(frozen=True)
class ArrayFormat:
    """How the numbers of a file become coordinates; the options of `arguments.add_format` say the same on the command line.

    form: (M, V, C) of a frame. axes: letters of an array's axes, or of a text file's rows and columns; by default TVC and MTVC,
    of a .mat VCT. columns: letters of the numbers of a joint, such as xyz_ (_ is left out). skip_columns: numbers of the columns
    left out of a row before that. joint_order: joint of the file for every joint. fps, target_fps: frames per second of the
    file, and after. up: axis of the file that points up; it becomes y. key: array of a file with several. num_joints: V of the
    file, if known. checks: refuse what is not plausible.
    """

    form: tuple | None = None
    axes: str | None = None
    columns: str | None = None
    skip_columns: tuple = ()
    joint_order: tuple | None = None
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
                f"--columns {columns}: a letter for every number of a joint: x, y and perhaps z once each, _ for the "
                "others, such as xyz_"
            )
        if self.axes is not None and sorted(self.axes) not in (sorted("TVC"), sorted("MTVC")):
            raise ValueError(
                f"--axes {self.axes}: T, V, C and perhaps M (frames, joints, coordinates, bodies) once each, such as TMVC"
            )
        if self.form and columns and self.form[2] not in (len(columns), self.dims):
            row = " ".join(map(str, self.form))
            raise ValueError(f"--row {row}: {self.form[2]} numbers a joint, --columns {columns} has {len(columns)}")
        if self.joint_order is not None and min(self.joint_order, default=-1) < 0:
            raise ValueError("--joint_order: numbers of joints, counted from 0")
        if self.fps is not None and not self.fps >= self.target_fps > 0:
            raise ValueError(f"--fps {self.fps:g}: at least --target_fps {self.target_fps:g}; frames are never invented")

    @property
    def numbers(self):
        """Numbers of a joint in the file."""
        return len(self.columns) if self.columns else self.form[2] if self.form else 3

    @property
    def dims(self):
        """Coordinates of a joint, 2 or 3."""
        return len(self.columns.replace("_", "")) if self.columns else self.numbers

    def as_dict(self):
        """What is not the default, as plain values: what a later recording of the same kind has to be read with."""
        given = {key: value for key, value in asdict(self).items() if key not in ("key", "num_joints", "checks")}
        given = {key: value for key, value in given.items() if value and value != getattr(ArrayFormat, key)}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}

    def read(self, path):
        """(M, T, V, C) of a file. Raises ValueError in one line naming it."""
        path = Path(path)
        text = path.suffix in (".csv", ".txt")
        array = self._split_rows(path, read_text(path)) if text else read_array(path, self.key)
        return self.to_bodies(array, path, mat=path.suffix == ".mat", axes="MTVC" if text else None)

    def to_bodies(self, array, where, mat=False, axes=None):
        """(M, T, V, C) of an array of any form; axes: their order, if known. Raises ValueError beginning with `where`."""
        array = np.asarray(array)
        if array.ndim == 2 and array.dtype.kind in "iuf" and (self.form or self.num_joints):
            array, axes = self._split_rows(where, array), "MTVC"
        if array.ndim not in (3, 4) or array.dtype.kind not in "iuf":
            hint = "; --row says of how many bodies, joints and coordinates a row consists" if array.ndim == 2 else ""
            raise ValueError(
                f"{where}: {transforms.described(array)} instead of numbers, frames x joints x coordinates "
                f"(or bodies x frames x joints x coordinates){hint}"
            )
        bodies = to_mtvc(array, axes or self.order(array.shape, where, mat))
        if self.columns:
            if bodies.shape[3] != len(self.columns):
                raise ValueError(f"{where}: {bodies.shape[3]} numbers a joint, --columns has {len(self.columns)}")
            bodies = bodies[..., [self.columns.index(letter) for letter in "xyz"[: self.dims]]]
        if self.checks and bodies.size and bodies.shape[3] in (2, 3):
            checks.refuse(bodies, array.shape, where)
        if self.joint_order is not None:
            if max(self.joint_order) >= bodies.shape[2]:
                raise ValueError(f"{where}: {bodies.shape[2]} joints, --joint_order names joint {max(self.joint_order)}, from 0")
            bodies = bodies[:, :, list(self.joint_order)]
        bodies = transforms.upright(bodies, self.up)
        return bodies if self.fps is None else transforms.resampled(bodies, self.fps / self.target_fps)

    def order(self, shape, where, mat=False):
        """The order of the axes of an array, as --axes or the rule says. Raises ValueError if that is not possible."""
        given, rule = " x ".join(map(str, shape)), "MTVC"[-len(shape) :]
        if self.axes:
            order = self.axes.replace("M", "") if len(self.axes) == len(shape) + 1 else self.axes  # one body has no M
            if len(order) != len(shape):
                raise ValueError(f"{where}: {given} are {len(shape)} axes, --axes {self.axes} names {len(order)}")
            return order
        orders = possible(shape, coordinates=(2, 3, self.numbers))
        if mat and "VCT" in orders:
            return "VCT"
        if rule not in orders:
            hint = " or ".join(f"--axes {order}" for order in [*orders][:2]) or "--axes (such as VCT)"
            hint += " says which axes these are"
            if shape[-1] == 4:
                hint = "--columns xyz_ takes three of four numbers a joint"
            what = "bodies x " * (len(shape) == 4) + "frames x joints x 2 or 3 coordinates"
            raise ValueError(f"{where}: {given} instead of {what}; {hint}")
        if shape[0] == 3 and shape[-1] == 2 and len(shape) == 4 and not self.form:  # ST-GCN's arrays: coordinates come first
            raise ValueError(f"{where}: {given} is 3 bodies in 2 dimensions or 2 in 3; --axes MTVC or --axes CTVM says which")
        return rule

    def _split_rows(self, where, rows):
        """(M, T, V, numbers) of rows of numbers (R, K): a row per frame or, where a row is one joint, V rows per frame."""
        if self.skip_columns:
            if max(self.skip_columns) >= rows.shape[1] or min(self.skip_columns) < -rows.shape[1]:
                raise ValueError(f"{where}: {rows.shape[1]} numbers a row, --skip_columns names others")
            rows = np.delete(rows, list(self.skip_columns), axis=1)
        if self.checks:
            checks.refuse_columns(rows, self.numbers, where)
        # rows and columns together are an array whose axes have these letters, of which the first `outer` make the rows
        letters = self.axes or "TMVC"
        letters = letters if "M" in letters else "M".join((letters[0], letters[1:]))
        bodies, joints, _ = self.form or (None, self.num_joints, None)
        sizes = {"M": bodies, "V": joints, "C": self.numbers, "T": None}
        of_joint = rows.shape[1] == self.numbers and letters == "TMVC" and (joints or 0) * (bodies or 1) > 1
        if rows.shape[1] == self.numbers and letters == "TMVC" and joints is None:
            raise ValueError(
                f"{where}: {self.numbers} numbers a row, one joint; --row BODIES JOINTS {self.numbers} says how many such rows "
                "make a frame"
            )
        outer = 3 if of_joint else 1
        if not sizes["M"]:  # as many bodies as fill a row, if that is known to be one frame
            per_body = math.prod(sizes[x] or 1 for x in letters[outer:] if x != "M")
            sizes["M"] = rows.shape[1] // per_body or 1 if joints and not of_joint and letters[0] == "T" else 1
        # what is left unknown in the rows, and in the columns, follows from their number
        for part, count in ((letters[:outer], rows.shape[0]), (letters[outer:], rows.shape[1])):
            unknown = [letter for letter in part if not sizes[letter]]
            known = math.prod(sizes[letter] for letter in part if sizes[letter])
            if len(unknown) == 1 and count and count % known == 0:
                sizes[unknown[0]] = count // known
            if math.prod(sizes[letter] or 0 for letter in part) != count:
                raise ValueError(self._misfit(where, rows.shape, sizes, of_joint))
        return to_mtvc(rows.reshape([sizes[letter] for letter in letters]), letters)

    def _misfit(self, where, shape, sizes, of_joint):
        """What to say of rows that are no whole number of joints or frames."""
        if of_joint:
            return f"{where}: {shape[0]} rows of a joint each are no whole number of frames of {sizes['M']} x {sizes['V']} joints"
        joints = sizes["V"] or shape[1] // self.numbers
        hint = checks.columns_that_fit(shape[1], sizes["V"], self.columns)
        if sizes["V"] and not (self.form and self.form[0]):
            return f"{where}: {shape[1]} numbers a row; {joints} joints have {joints * self.numbers} for each body{hint}"
        return (
            f"{where}: {shape[1]} numbers a row instead of bodies x joints x coordinates = {sizes['M']} x {joints} x "
            f"{self.numbers}; --row says how many of each{hint}"
        )


# ---- files --------------------------------------------------------------------------------------------------------------


def read_array(path, key="joints"):
    """The array of a .npy, or the only one (or that called `key`) of a .npz or .mat. Raises ValueError naming the file."""
    if path.suffix == ".npy":
        try:
            return np.lib.format.open_memmap(path, mode="r")  # a map cannot ask for more than the file holds
        except (ValueError, EOFError, OverflowError, SyntaxError, TypeError, tokenize.TokenError) as error:
            raise ValueError(f"{path}: not a complete npy file of numbers ({' '.join(str(error).split())[:100]})") from error
    found = read_mat(path) if path.suffix == ".mat" else read_npz(path)
    if len(found) != 1 and key not in found:
        names = ", ".join(sorted(found)[:5])
        raise ValueError(
            f"{path}: holds {len(found)} arrays ({names}) instead of one; --joints_key names the one with the joints"
        )
    return found[key] if key in found else next(iter(found.values()))


def read_npz(path):
    """{name: array} of an npz; compressed ones are read without a warning, since they are read once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_npz(path)


def read_mat(path):
    """{name: array} of the arrays of numbers in a MATLAB file of version 4 to 7. Raises ValueError naming it."""
    from scipy.io import loadmat  # here, because nothing else needs it

    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(f"{path}: a MATLAB 7.3 file (HDF5), which is not read; save it in MATLAB with '-v7'") from error
    except Exception as error:  # whatever a damaged file makes scipy stumble over
        raise ValueError(f"{path}: not a complete MATLAB file ({' '.join(str(error).split())[:100]})") from error
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


def read_text(path):
    """(R, K) float64 of a text file: separated by commas, semicolons or blanks, with or without a line of titles."""
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
