"""Read recordings from every supported kind of file, and prepare them like a model's training data."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from data.prepare import array_files, axes, bvh, custom_recordings, pku, pyskl, transforms, ucla
from data.prepare.arguments import options_of
from data.prepare.array_files import ArrayFormat
from data.prepare.recipes import Recipe
from feeder import units
from feeder.npz import open_npz
from feeder.npz_split import NpzSplit
from util import checkpoint
from util.console import warn_once


@dataclass
class Clip:
    """A recording. persons: (M, T, V, 3) metres, frames without a body included. whole: function that returns the prepared
    rows."""

    persons: np.ndarray
    whole: Callable


@dataclass(frozen=True)
class Preparation:
    """Prepares recordings like a model's training data.

    recipe: that of the training data. data: predict.load_model.TrainingData. unit: metres per unit of arrays and rows. flat:
    whether the model was trained on two coordinates; size: of the training data's bodies, in metres; None: not known. axes: their
    order, if the user gives it. how: fields of data.prepare.array_files.ArrayFormat, the format of files. given: what the user
    says of the files: {option: value}.
    """

    recipe: Recipe
    data: object
    unit: float
    flat: bool | None
    size: float | None
    axes: str | None
    how: dict
    given: dict

    @property
    def reading(self):
        """The `ArrayFormat` of arrays and rows. Raises ValueError for an invalid `how`."""
        how = {key: tuple(value) if isinstance(value, list) else value for key, value in self.how.items()}
        if self.axes is not None:
            how["axes"] = self.axes
        if "joint_order" not in how:
            num_joints = self.data.num_joints - len(how.get("midpoints", ()))  # of the file
            if self.data.coordinates == 2 and "columns" not in how:
                how["form"] = (None, num_joints, 2)
            else:
                how["num_joints"] = num_joints
        try:
            if "form" in how:
                how["form"] = (None, *how["form"][1:])  # a recording may have other bodies than the training data
            return ArrayFormat(**how)
        except (TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"how the training data's files were read is not known here: {self.how}") from error

    def arranged(self, array, where, mat=False):
        """An array as (M, T, V, C): with the format of the training data's files if known, else by guessing the order of axes
        from the shape. where: its name in messages. mat: whether it is from a MATLAB file."""
        if self.how or mat or array.ndim == 2:
            bodies = self.reading.to_bodies(array, where, mat)
        else:
            bodies = axes.guess(array, self.data.num_joints, self.data.num_bodies, self.flat, self.axes)
        if len(bodies) > self.data.num_bodies:
            warn_once(
                f"warning: {where}: {len(bodies)} bodies, the model knows {self.data.num_bodies}; those that move most are used. "
                f"If these are {len(bodies)} recordings: a file for each, or an npz with an array for each"
            )
        return bodies

    def metres(self, array, usual=None):
        """(M, T, V, C) in the training data's unit -> (M, T, V, 3) float32 metres. usual: the unit that files of this kind are
        usually in, which is assumed if it makes bodies more like the training data's. Raises ValueError (without file name) if
        there is no body."""
        transforms.drop_empty(array)  # raises
        unit = self.unit if usual is None else units.likely_unit(units.body_size(array), self.size, (self.unit, usual))
        rows = transforms.row(array, unit)
        return rows.reshape(array.shape[1], len(array), -1, 3).swapaxes(0, 1)

    def in_metres(self, persons):
        """(M, T, V, 3) of a file whose format says that it is in metres -> metres: other than the file's if the user gives a
        unit."""
        return persons * np.float32(self.given.get("--unit", 1))

    def checked(self, persons):
        """Returns persons (M, T, V, 3). Raises ValueError if they are unlike the training data in joints, size or dimensions."""
        if persons.shape[2] != self.data.num_joints:
            raise ValueError(f"{persons.shape[2]} joints, the model knows {self.data.num_joints}")
        if persons.any() and self.flat not in (None, not persons[..., 2].any()):
            here, there = ("three coordinates", "two") if self.flat else ("two coordinates (z is 0)", "three")
            raise ValueError(f"{here}, the model was trained on {there}")
        if doubt := units.doubt_likeness(units.body_size(persons), self.size, self.unit):
            raise ValueError(doubt)
        return persons

    def rows(self, persons):
        """Persons (M, T, V, 3) -> rows (T, num_bodies·V·3) float32 as in an npz, without frames that have no body. Raises
        ValueError (without file name) if there is no body, or the joints are others.
        """
        persons = transforms.drop_empty(self.checked(persons))
        return self.filled(self.recipe.place(transforms.most_moving(persons, self.data.num_bodies)))

    def widened(self, rows):
        """Rows (T, m·V·3) with zeros for missing bodies: (T, num_bodies·V·3) float32."""
        out = np.zeros((len(rows), self.data.num_bodies * self.data.num_joints * 3), np.float32)
        out[:, : rows.shape[1]] = rows
        return out

    def filled(self, rows):
        """As `widened`, and as many frames as the Feeder counts in the npz of this recipe."""
        out = self.widened(rows)
        if not self.recipe.counts_empty:
            moved = out.sum(axis=1) if self.recipe.published else out.any(axis=1)  # the published code counts by the sum
            out = out[: np.count_nonzero(moved)]
        if not len(out):
            raise ValueError("no frame has a body")
        return out

    def windows(self, persons, window, stride):
        """Yield (start, end, rows) of windows of persons (M, T, V, 3), `stride` frames apart; the last ends with the recording.

        Windows without a body are left out, and those that cannot be prepared. Each is prepared like a recording of its own.
        Raises ValueError, the first one's, if none can be.
        """
        last = max(0, self.checked(persons).shape[1] - window)
        prepared, problem = 0, None
        for start in [*range(0, last, stride), last]:
            part = persons[:, start : start + window]
            if not part.any():
                continue
            try:
                rows = self.rows(part)
            except ValueError as error:
                problem = problem or error
                continue
            prepared += 1
            yield start, start + part.shape[1], rows
        if problem and not prepared:
            raise problem


def prepare_like_training(data, recipe, center=None, unit=None, axes=None, how=None, fps=None):
    """The `Preparation` for a model. data: predict.load_model.TrainingData; recipe: that of its npz's name; center, unit, axes,
    how, fps: the user's options, which override them, see main_predict.py. Raises ValueError for an unknown joint."""
    joint = data.center
    if center is not None:
        joint = -1 if center == "none" else transforms.joint_index(center, data.joint_names, data.num_joints)
    if joint is not None or data.body_frame is not None or data.min_max:  # the npz or the user says more than the file name
        recipe = recipe.with_pose(None if joint in (None, -1) else joint, data.body_frame, data.min_max, data.joint_names)
    flat = (False if recipe.published else None) if data.coordinates is None else data.coordinates == 2
    size = data.body_size or (units.PERSON if recipe.published else None)
    size = None if unit else size  # sizes are not compared if the user gives a unit
    recipe = recipe.with_second_body(data.num_bodies, data.second_body)
    given = options_of(how or {}) | {"--axes": axes, "--fps": fps, "--unit": unit}
    given = {option: value for option, value in given.items() if value}
    how = (data.how or {}) | (how or {})
    if fps and "fps" in how:  # the training recordings were resampled, so these are, too
        how["fps"] = fps
    return Preparation(recipe, data, unit or data.unit or 1.0, flat, size, axes, how, given)


# ---- files --------------------------------------------------------------------------------------------------------------


def list_files(path):
    """[path], or for a folder its files of supported kinds, sorted by name. Raises FileNotFoundError or ValueError."""
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in KINDS and file.is_file())
        files = [file for file in files if file.name != custom_recordings.TABLE]
        if not files:
            raise FileNotFoundError(f"{path}: holds no file that ends in {', '.join(KINDS)}")
        return files
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"{path}: unknown kind of file {path.suffix!r}; known are {', '.join(KINDS)}")
    return [path]


def list_recordings(file, preparation):
    """[(name, load), ...] of the recordings in a file, whose names differ; load() returns a `Clip`. FileNotFoundError or
    ValueError is raised here, when a recording is loaded, or when it is prepared.
    """
    suffix = file.suffix.lower()
    refuse(file, preparation, NO_EFFECT.get(suffix, ()))
    if suffix not in READERS:
        found = COLLECTIONS[suffix](file, preparation)
        count = Counter(name for name, _ in found)  # answers are told apart by their names
        return [(name if count[name] == 1 else f"{name} (number {i} of the file)", load) for i, (name, load) in enumerate(found)]
    return [(str(file), partial(_load, READERS[suffix], file, preparation))]


def refuse(file, preparation, options):
    """ValueError if the user gives one of the options, which have no effect on this kind of file."""
    for option in options:
        if option in preparation.given:
            raise ValueError(f"{file}: {option} has no effect on this kind of file; leave it out, or the file")


def frame_rate(file, preparation, given=None):
    """Frames per second of a file's recordings as the model gets them. given: what the user says, of those not resampled."""
    how, suffix = preparation.how, file.suffix.lower()
    resampled = suffix == ".bvh" or how.get("fps") and suffix not in AS_RECORDED
    of_training = how.get("target_fps", ArrayFormat.target_fps)
    return of_training if resampled else given or of_training


def _load(read, *values):
    """The `Clip` of a recording. read(*values) returns (M, T, V, 3) metres; the last of `values` is the preparation."""
    persons, preparation = read(*values), values[-1]
    return Clip(persons, lambda: preparation.rows(persons))


def _read_text(file, preparation):
    if preparation.data.coordinates or preparation.how or file.suffix.lower() != ".txt":
        return preparation.metres(preparation.reading.read(file))
    persons = pku.read_frames(file).reshape(-1, pku.NUM_BODIES, pku.NUM_JOINTS, 3).swapaxes(0, 1)
    return preparation.in_metres(persons)


def _read_bvh(file, preparation):
    names = preparation.data.joint_names
    if names is None:
        raise ValueError(f"{file}: the model's joints have no names, by which those of a BVH file could be found")
    how = preparation.reading
    joints = bvh.load(file, names, how.target_fps, how.up)[None]
    return preparation.metres(joints, bvh.UNIT)


def _read_array(file, preparation):
    array = array_files.read_array(file, preparation.reading.key)
    return preparation.metres(preparation.arranged(array, file, mat=file.suffix.lower() == ".mat"))


def _read_skeleton(file, preparation):
    return preparation.metres(preparation.reading.read(file), units.UNITS["m"])


READERS = {  # for files with one recording: (file, preparation) -> (M, T, V, 3) metres
    ".txt": _read_text,
    ".csv": _read_text,
    ".tsv": _read_text,
    ".json": lambda file, preparation: preparation.in_metres(ucla.read_sequence(file)[0][None]),
    ".npy": _read_array,
    ".mat": _read_array,
    ".bvh": _read_bvh,
}


def _skeleton(file, preparation):
    """A `.skeleton` file: as own_gendata.py reads it or, for a model of a published data set, as its recipe does, unless the user
    describes the file's format."""
    recipe, data = preparation.recipe, preparation.data
    if preparation.how or not recipe.published:
        return [(str(file), partial(_load, _read_skeleton, file, preparation))]

    def load():
        persons = transforms.most_moving(preparation.in_metres(recipe.read(file)), data.num_bodies)
        return Clip(persons, lambda: preparation.filled(recipe.place(preparation.checked(persons))))

    return [(str(file), load)]


def _npz(file, preparation):
    """The test set of a prepared npz, the recordings of a flat one (docs/data.md), or else every array."""
    arrays = open_npz(file)
    if not arrays:
        raise ValueError(f"{file}: holds no array")
    frames, offset = [key for key, array in arrays.items() if array.ndim in (3, 4)], arrays.get("offset")
    frames = ["joints"] if "joints" in frames else frames
    is_flat = offset is not None and offset.ndim == 1 and offset.dtype.kind in "iu" and len(frames) == 1
    if is_flat and "x_test" not in arrays:
        recordings, skeleton = custom_recordings.from_flat(file, frames[0], form=preparation.reading)
        checkpoint.compare_joints(skeleton.joint_names, preparation.data.joint_names, file, "the model")

        def cut(recording, preparation):
            return preparation.metres(recording.load())

        return [(f"{file}: {recording.name}", partial(_load, cut, recording, preparation)) for recording in recordings]
    if "x_test" not in arrays:

        def read(key, preparation):
            return preparation.metres(preparation.arranged(arrays[key], f"{file}: {key}"))

        return [(f"{file}: {key}", partial(_load, read, key, preparation)) for key in arrays]

    refuse(file, preparation, ("--unit", "--up", *FORMAT))
    split, data = NpzSplit(file, "test", labelled=False), preparation.data
    if split.num_joints != data.num_joints or split.num_bodies > data.num_bodies:
        raise ValueError(
            f"{file}: {split.num_bodies} bodies of {split.num_joints} joints, the model knows "
            f"{data.num_bodies} of {data.num_joints}"
        )
    checkpoint.compare_joints(split.joint_names(), data.joint_names, file, "the model")

    def load(index):
        rows = split.frames(index)
        persons = rows.reshape(len(rows), split.num_bodies, split.num_joints, 3).swapaxes(0, 1)
        return Clip(persons, lambda: preparation.widened(rows))

    names = range(len(split)) if split.names is None else split.names
    return [(f"{file}: {name}", partial(load, index)) for index, name in enumerate(names)]


def _pickle(file, preparation):
    """The annotations of a PYSKL file."""

    def read(annotation, preparation):
        return preparation.metres(pyskl.check(annotation)[2])

    found = []
    for i, annotation in enumerate(pyskl.read(file)[1]):
        name = annotation.get("frame_dir") if type(annotation) is dict else None
        name = name[: transforms.MAX_NAME] if isinstance(name, str) and name.isprintable() else f"annotation {i}"
        found.append((f"{file}: {name}", partial(_load, read, annotation, preparation)))
    return found


# for files with several recordings, or with their own preparation: (file, preparation) -> [(name, load), ...]
COLLECTIONS = {".skeleton": _skeleton, ".npz": _npz, ".pkl": _pickle, ".pickle": _pickle}
FORMAT = ("--row", "--axes", "--columns", "--skip_columns", "--skip_rows", "--joint_order", "--fill")
NO_EFFECT = {  # options for the format of arrays and rows that a kind of file has no use for
    ".skeleton": ("--row", "--axes", "--skip_columns", "--skip_rows"),
    ".bvh": ("--fps", *FORMAT),
    **dict.fromkeys((".json", ".pkl", ".pickle"), (*FORMAT, "--up")),
}
AS_RECORDED = (".json", ".pkl", ".pickle")  # never resampled
KINDS = (".skeleton", ".txt", ".csv", ".tsv", ".json", ".npy", ".mat", ".npz", ".pkl", ".pickle", ".bvh")
