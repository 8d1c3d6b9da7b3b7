"""How to prepare a raw recording like the arrays that a model was trained on, whose file name identifies the data set."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from data.prepare import ntu, ntu_release, transforms, ucla, umurl
from data.prepare.denoise import MISSING, read_actors
from feeder import class_names

AS_IS = "coordinates as they are in the file"
FIRST_SPINE = "origin at the first spine"
UMURL = "UmURL's: origin at the spine of each frame, shoulders of the first along x"


def read_persons(path):
    """The one or two persons (M, T, V, 3) that UmURL selects in a `.skeleton` file. Raises ValueError naming the file."""
    frames, persons = umurl.read_persons(path)
    if not frames:
        raise ValueError(f"{path}: {MISSING}")
    return persons


def place_ntu(persons):
    return ntu.translate(persons.swapaxes(0, 1)).reshape(persons.shape[1], -1)


def place_umurl(persons):
    frames = persons.shape[1]
    if frames > umurl.NUM_FRAMES:
        raise ValueError(f"{frames} frames; UmURL's arrays have {umurl.NUM_FRAMES}: use --window {umurl.NUM_FRAMES} or less")
    return umurl.normalise(persons)[:frames]


def place_copies(place, num_bodies, persons):
    return transforms.fill_bodies(place(persons), len(persons), num_bodies)


@dataclass(frozen=True)
class Recipe:
    """How a data set is prepared.

    title: of the data set. read: `.skeleton` file -> persons (M, T, V, 3), selected and denoised, in metres of the camera. place:
    persons -> rows (T, M·V·3) float32 metres, where M may be smaller than the model's. description: what `place` does, in words.
    published: whether it is one of the data sets of feeder.class_names. second_body: one of feeder.metadata.SECOND_BODY.
    counts_empty: whether frames without a body count as valid, as in UmURL's npz; in others as many frames are valid as have one.
    """

    title: str
    read: Callable = read_actors
    place: Callable = transforms.row
    description: str = AS_IS
    published: bool = True
    second_body: str = "zeros"
    counts_empty: bool = False

    def with_second_body(self, num_bodies, second_body=None):
        """This recipe, which copies a single person to num_bodies if its second_body, or the one given, is 'copy'."""
        if (second_body or self.second_body) != "copy":
            return self
        description = f"{self.description}, one person copied to make {num_bodies}"
        return replace(self, place=partial(place_copies, self.place, num_bodies), description=description)

    def with_pose(self, origin, frame_joints, min_max, joint_names):
        """This recipe with the origin (a joint or None), frame_joints (four or None) and min_max of transforms.row."""
        name = joint_names[origin] if joint_names and origin is not None else origin
        steps = [AS_IS if origin is None else f"origin at joint {name} of the first frame"]
        steps += ["axes of the body's mean pose"] * (frame_joints is not None) + ["every axis from -1 to 1"] * bool(min_max)
        place = partial(transforms.row, origin=origin, frame_joints=frame_joints, min_max=bool(min_max))
        return replace(self, place=place, description=", ".join(steps))


OTHER = Recipe("a data set of its own", published=False)


def recipe(data_path, num_joints, num_classes):
    """The `Recipe` of arrays with this file name or, if it is not known (None), with these numbers of joints and classes."""
    name = Path(data_path or "").stem.lower()
    data_set = class_names.published(data_path, num_joints, num_classes)
    if data_set is None:
        return OTHER
    title = "the INVENTED demo recording" if name.startswith("demo_") else data_set.title
    title += "" if data_path else ", as the numbers of joints and classes suggest"
    if name.startswith("umurl_"):
        return Recipe(title, read_persons, place_umurl, UMURL, counts_empty=True)
    if data_set is class_names.UCLA:
        align = re.match(r"ucla\w*align", name) is not None
        description = FIRST_SPINE + ", shoulders of the first frame along x" * align
        return Recipe(title, place=partial(ucla.place, align=align), description=description)
    if data_set is class_names.PKU:
        return Recipe(title)
    release = ntu_release.NTU120 if data_set is class_names.NTU120 else ntu_release.NTU60
    return Recipe(title, place=place_ntu, description=FIRST_SPINE, second_body=release.second_body)
