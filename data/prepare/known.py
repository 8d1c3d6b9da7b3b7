"""What is known of a data set by its name: its skeleton, its classes, and how raw joints become its arrays.

A model wants what it was trained on. The mains train on arrays that the scripts in data/ have made; here the same steps are
found by the name of those arrays, so that a single raw recording can be prepared alike.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from data.prepare import ntu, ntu_release, pku, transforms, ucla, umurl
from data.prepare.denoise import denoise
from data.prepare.skeleton_file import read_skeleton

NAMES = Path(__file__).resolve().parents[1] / "names"


@dataclass(frozen=True)
class Recipe:
    """How a data set is made.

    read: `.skeleton` file -> persons (M, T, V, 3) metres, cleaned but not moved. place: persons -> rows (T, M·V·3) float32
    metres, with perhaps fewer persons than num_bodies. about: what `place` does, for a reader. names: file of class names in
    data/names. num_joints, num_bodies, num_classes: None if they are not known.
    """

    title: str
    read: Callable
    place: Callable
    about: str
    names: str | None = None
    num_joints: int | None = None
    num_bodies: int | None = None
    num_classes: int | None = None
    second_body: str = "zeros"

    def with_copies(self, num_bodies, second_body=None):
        """This recipe with what it, or `second_body`, puts in place of a second person."""
        if (second_body or self.second_body) != "copy":
            return self
        return replace(
            self,
            place=partial(place_copies, self.place, num_bodies),
            about=f"{self.about}, one person copied to make {num_bodies}",
        )


def read_actors(path):
    """The one or two actors of a `.skeleton` file as the NTU scripts find them. Raises ValueError naming the file."""
    num_frames, bodies = read_skeleton(path)
    if not bodies:
        raise ValueError(f"{path}: {ntu.MISSING}")
    try:
        return denoise(num_frames, bodies).swapaxes(0, 1)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_persons(path):
    """The one or two persons of a `.skeleton` file as UmURL finds them. Raises ValueError naming the file."""
    frames, persons = umurl.read_persons(path)
    if not frames:
        raise ValueError(f"{path}: {ntu.MISSING}")
    return persons


def place_ntu(persons):
    return ntu.translate(persons.swapaxes(0, 1)).reshape(persons.shape[1], -1)


def place_umurl(persons):
    frames = persons.shape[1]
    if frames > umurl.NUM_FRAMES:
        raise ValueError(f"{frames} frames; UmURL's arrays hold {umurl.NUM_FRAMES}: --window looks at parts as long")
    return umurl.normalise(persons)[:frames]


def place_ucla(align, persons):
    joints = ucla.center(persons[0])
    return (ucla.face_front(joints) if align else joints).reshape(len(joints), -1).astype(np.float32)


def place_as_is(persons):
    return persons.swapaxes(0, 1).reshape(persons.shape[1], -1)


def place_told(origin, axes, min_max, persons):
    """As the npz tells, see `transforms.row`."""
    return transforms.row(persons, origin=origin, axes=axes, min_max=bool(min_max))


def place_copies(place, num_bodies, persons):
    """As `place` does it; one person alone becomes `num_bodies` equal ones."""
    rows = place(persons)
    return np.tile(rows, num_bodies) if len(persons) == 1 else rows


def _ntu(release):
    return Recipe(
        release.title,
        read_actors,
        place_ntu,
        "origin at the first spine",
        "ntu",
        ntu.NUM_JOINTS,
        ntu.NUM_BODIES,
        release.num_classes,
        release.second_body,
    )


def _umurl(release):
    about = "UmURL's: origin at the spine of each frame, shoulders of the first along x"
    return Recipe(release.title, read_persons, place_umurl, about, "ntu", ntu.NUM_JOINTS, ntu.NUM_BODIES, release.num_classes)


def _ucla(align):
    about = "origin at the first spine" + (", shoulders of the first frame along x" if align else "")
    return Recipe(
        "NW-UCLA", read_actors, partial(place_ucla, align), about, "ucla", ucla.NUM_JOINTS, ucla.NUM_BODIES, ucla.NUM_CLASSES
    )


AS_IS = "coordinates as they are in the file"
PKU = Recipe("PKU-MMD", read_actors, place_as_is, AS_IS, "pku", pku.NUM_JOINTS, pku.NUM_BODIES, pku.NUM_CLASSES)
OTHER = Recipe("a data set of its own", read_actors, place_as_is, AS_IS)
BY_NAME = (  # the first that fits the name of the npz, without regard to case
    (r"umurl_ntu120", _umurl(ntu_release.NTU120)),
    (r"umurl_", _umurl(ntu_release.NTU60)),
    (r"(ntu|nturgbd?)_?120", _ntu(ntu_release.NTU120)),
    (r"ntu", _ntu(ntu_release.NTU60)),
    (r"demo_", replace(_ntu(ntu_release.NTU60), title="the INVENTED demo recording")),
    (r"pku", PKU),
    (r"ucla\w*align", _ucla(align=True)),
    (r"ucla", _ucla(align=False)),
)


def recipe(data_path, num_joints, num_classes):
    """The `Recipe` of the arrays with this file name; of weights that do not name any (None), by the numbers of joints and
    classes."""
    if data_path:
        stem = Path(data_path).stem
        found = next((r for form, r in BY_NAME if re.match(form, stem, re.IGNORECASE)), OTHER)
        return found if found.num_joints in (num_joints, None) else OTHER
    likely = (_ntu(ntu_release.NTU60), _ntu(ntu_release.NTU120), PKU, _ucla(align=False))
    found = next((r for r in likely if (r.num_joints, r.num_classes) == (num_joints, num_classes)), OTHER)
    return replace(found, title=f"{found.title}, as the numbers of joints and classes suggest") if found.names else OTHER


def class_names(recipe, num_classes):
    """Names of a data set's classes, [] if they are not known or a model with so few classes cannot mean them."""
    if recipe.names is None or num_classes < recipe.num_classes:
        return []
    return read_names(NAMES / f"{recipe.names}.txt")


def read_names(path):
    """Class names, one a line, class 0 first. Raises FileNotFoundError or ValueError naming the file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file with class names, one a line")
    try:
        names = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text in UTF-8 ({error.reason}); class names stand one a line") from error
    for line, name in enumerate(names, 1):
        if not name.strip() or not name.isprintable():
            raise ValueError(f"{path}: line {line} is empty or no text; class names stand one a line, class 0 first")
    return [name.strip() for name in names]
