"""Recordings to be recognised, out of every kind of file that the project reads, as clips prepared like the training data."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from data.prepare import array_files, bvh, custom_recordings, pku, pyskl, sense, transforms, ucla
from data.prepare.array_files import ArrayFormat
from data.prepare.known import AS_IS, Recipe, place_told
from feeder.feeder_ntu import Feeder
from feeder.npz import open_npz


@dataclass
class Clip:
    """persons: (M, T, V, 3) metres, as recorded, frames without anybody included. whole: gives them all as rows for the model."""

    persons: np.ndarray
    whole: Callable


@dataclass(frozen=True)
class Preparation:
    """What becomes of a recording. recipe: of the training data; V and M: of the model; unit: metres per unit of arrays and rows;
    coordinates: of a row of a text file, None if data/own or data/pyskl did not make the training data: .txt is PKU-MMD's; flat,
    size, axes: see data.prepare.sense; how: the training data's files were read, fields of data.prepare.array_files.ArrayFormat;
    joint_names: (V,) or None."""

    recipe: Recipe
    num_joints: int
    num_bodies: int
    unit: float = 1.0
    coordinates: int | None = None
    flat: bool | None = None
    size: float | None = None
    axes: str | None = None
    how: dict | None = None
    joint_names: list | None = None

    @property
    def reading(self):
        """The `ArrayFormat` of arrays and rows. Raises ValueError if `how` is not one."""
        how = {key: tuple(value) if isinstance(value, list) else value for key, value in (self.how or {}).items()}
        if self.axes is not None:
            how["axes"] = self.axes
        if "joint_order" not in how and self.coordinates == 2 and "columns" not in how:
            how["form"] = (None, self.num_joints, 2)
        elif "joint_order" not in how:
            how["num_joints"] = self.num_joints
        try:
            return ArrayFormat(**how | ({"form": (None, *how["form"][1:])} if "form" in how else {}))
        except (TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"how the training data's files were read is not known here: {self.how}") from error

    def rows(self, persons):
        """Persons (M, T, V, 3) -> rows (T, num_bodies·V·3) float32 as in an npz; frames without anybody are left out.

        Raises ValueError, without a file name, if there are none with somebody, or other joints.
        """
        persons = transforms.drop_empty(self.checked(persons))
        return self.filled(self.recipe.place(transforms.most_moving(persons, self.num_bodies)))

    def filled(self, rows):
        """Rows (T, m·V·3) with zeros for the persons that they lack, without frames that are all zero at the end."""
        out = np.zeros((len(rows), self.num_bodies * self.num_joints * 3), np.float32)
        out[:, : rows.shape[1]] = rows
        out = out[: np.count_nonzero(out.sum(axis=1))]  # as the Feeder takes the frames of an npz
        if not len(out):
            raise ValueError("no frame has a body")
        return out

    def checked(self, persons):
        if persons.shape[2] != self.num_joints:
            raise ValueError(f"{persons.shape[2]} joints, the model knows {self.num_joints}")
        sense.check(persons, self.flat, self.size, self.unit)
        return persons

    def arranged(self, array, where, mat=False):
        """(M, T, V, C) of an array: as the training data's files were read, where these say how, else in any order of axes that
        can be told (data.prepare.sense). where: what to call it in messages; mat: out of a MATLAB file.
        """
        if self.how or mat or array.ndim == 2:
            return self.reading.to_bodies(array, where, mat)
        return sense.arranged(array, self.num_joints, self.num_bodies, self.flat, self.axes)

    def windows(self, persons, window, stride):
        """(start, end, rows) of every `window` frames of persons (M, T, V, 3), `stride` apart; the last ends with the recording.

        Windows without anybody are left out. Each is prepared as if it were a recording of its own.
        """
        frames = self.checked(persons).shape[1]
        last = max(0, frames - window)
        for start in [*range(0, last, stride), last]:
            part = persons[:, start : start + window]
            if part.any():
                yield start, start + part.shape[1], self.rows(part)


def as_trained(data, recipe, center=None, unit=None, axes=None, how=None):
    """The `Preparation` of recordings for a model. data: what it knows of its training data, of predict.trained.skeleton;
    recipe: of their name; center, unit, axes, how: what the user says instead, see main_predict.py. Raises ValueError for a
    joint that is not one.
    """
    recipe = _placed(recipe, center, data).with_copies(data.num_bodies, data.second_body)
    ours = recipe.num_joints is not None
    flat = (False if ours else None) if data.coordinates is None else data.coordinates == 2
    size = None if unit else data.body_size or (sense.PERSON if ours else None)  # who gives a unit knows it
    return Preparation(
        recipe,
        data.num_joints,
        data.num_bodies,
        unit or data.unit or 1.0,
        data.coordinates,
        flat,
        size,
        axes,
        (data.how or {}) | (how or {}),
        data.joint_names,
    )


def _placed(recipe, center, data):
    """The recipe, with the origin that --center says or else the training data say, and with their axes, if they do."""
    joint = data.center if center is None else -1
    if center not in (None, "none"):
        joint = transforms.joint_index(center, data.joint_names, data.num_joints)
    if joint is None and data.body_frame is None and not data.min_max:
        return recipe
    origin = None if joint is None or joint < 0 else joint
    name = data.joint_names[origin] if data.joint_names and origin is not None else origin
    about = [AS_IS if origin is None else f"origin at joint {name} of the first frame"]
    about += ["axes of the body's mean pose"] * (data.body_frame is not None) + ["every axis from -1 to 1"] * bool(data.min_max)
    return replace(recipe, place=partial(place_told, origin, data.body_frame, data.min_max), about=", ".join(about))


def expand(path):
    """The files that an input means: itself or, of a folder, those of a kind that can be read, sorted by name.

    Raises FileNotFoundError or ValueError in one line naming it.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in KINDS and file.is_file())
        files = [file for file in files if file.name != custom_recordings.TABLE]
        if not files:
            raise FileNotFoundError(f"{path}: holds no file that ends in {', '.join(KINDS)}")
        return files
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.suffix not in KINDS:
        raise ValueError(f"{path}: unknown kind of file {path.suffix!r}; known are {', '.join(KINDS)}")
    return [path]


def find(file, preparation):
    """[(name, load), ...] of the recordings in a file of a known kind; load() gives a `Clip`.

    Raises FileNotFoundError or ValueError in one line, here, when a recording is loaded or when it is prepared.
    """
    return KINDS[file.suffix](file, preparation)


def _skeleton(file, preparation):
    def load():
        persons = preparation.recipe.read(file)
        return Clip(persons, lambda: preparation.filled(preparation.recipe.place(preparation.checked(persons))))

    return [(str(file), load)]


def _loose(name, read, preparation):
    """A recording that read() gives as (M, T, V, 3) metres."""

    def load():
        persons = read()
        return Clip(persons, lambda: preparation.rows(persons))

    return name, load


def _text(file, preparation):
    def read():
        if preparation.coordinates or preparation.how or file.suffix == ".csv":
            return _array(preparation.reading.read(file), preparation.unit)
        return pku.read_frames(file).reshape(-1, pku.NUM_BODIES, pku.NUM_JOINTS, 3).swapaxes(0, 1)

    return [_loose(str(file), read, preparation)]


def _ucla(file, preparation):
    return [_loose(str(file), lambda: ucla.read_sequence(file)[0][None], preparation)]


def _bvh(file, preparation):
    def read():
        if preparation.joint_names is None:
            raise ValueError(f"{file}: the model's joints have no names, by which those of a BVH file could be found")
        how = preparation.reading
        joints = bvh.load(file, preparation.joint_names, how.target_fps, how.up)[None]
        return _array(joints, sense.likely_unit(joints, preparation.size, preparation.unit, bvh.UNIT))

    return [_loose(str(file), read, preparation)]


def _array(array, unit):
    """(M, T, V, C) of any unit -> (M, T, V, 3) float32 metres. Raises ValueError, without a file name."""
    transforms.drop_empty(array)
    return transforms.row(array, unit).reshape(array.shape[1], len(array), -1, 3).swapaxes(0, 1)


def _npy(file, preparation):
    def read():
        array = array_files.read_array(file, preparation.reading.key)
        return _array(preparation.arranged(array, file, mat=file.suffix == ".mat"), preparation.unit)

    return [_loose(str(file), read, preparation)]


def _npz(file, preparation):
    arrays = open_npz(file)
    if "x_test" in arrays:
        return _dataset(file, preparation)

    def read(array, where):
        return lambda: _array(preparation.arranged(array, where), preparation.unit)

    if not arrays:
        raise ValueError(f"{file}: holds no array")
    return [_loose(f"{file}: {key}", read(array, f"{file}: {key}"), preparation) for key, array in arrays.items()]


def _dataset(file, preparation):
    """The test set of an npz that is prepared already."""
    feeder = Feeder(file, "test", labelled=False)
    if feeder.num_joints != preparation.num_joints or feeder.num_bodies > preparation.num_bodies:
        raise ValueError(
            f"{file}: {feeder.num_bodies} bodies of {feeder.num_joints} joints, the model knows "
            f"{preparation.num_bodies} of {preparation.num_joints}"
        )

    def load(index):
        rows = feeder.frames(index)
        persons = rows.reshape(len(rows), feeder.num_bodies, feeder.num_joints, 3).swapaxes(0, 1)
        return Clip(persons, lambda: preparation.filled(rows))

    names = range(len(feeder)) if feeder.names is None else feeder.names
    return [(f"{file}: {name}", partial(load, index)) for index, name in enumerate(names)]


def _pickle(file, preparation):
    def read(annotation):
        return lambda: _array(pyskl.check(annotation)[2], preparation.unit)

    found = []
    for i, annotation in enumerate(pyskl.read(file)[1]):
        name = annotation.get("frame_dir") if type(annotation) is dict else None
        name = name[: transforms.MAX_NAME] if isinstance(name, str) and name.isprintable() else f"annotation {i}"
        found.append(_loose(f"{file}: {name}", read(annotation), preparation))
    return found


KINDS = {
    ".skeleton": _skeleton,
    ".txt": _text,
    ".csv": _text,
    ".json": _ucla,
    ".npy": _npy,
    ".mat": _npy,
    ".npz": _npz,
    ".pkl": _pickle,
    ".pickle": _pickle,
    ".bvh": _bvh,
}
