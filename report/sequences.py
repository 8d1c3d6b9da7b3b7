"""Choose and load sequences of a split for drawing."""

import argparse
import difflib
from dataclasses import dataclass

import numpy as np
import torch

from feeder.loader import build_feeder
from feeder.skeleton import up_axis
from feeder.units import METRES, UNITS, unit_of
from report import skeletons


@dataclass
class Sample:
    """A sequence. x: (C, T, V, M), the model's input. joints: (T, M, V, 3) metres, for drawing, x to the right and y upwards.
    names: of the V joints. parents: (V,), or None if unknown. title: name and class. up: the axis of x that points upwards, see
    skeletons.UP. stream: whether x holds joints or bones. unit: of the coordinates, see feeder.units.unit_of.
    """

    x: torch.Tensor
    joints: np.ndarray
    names: tuple
    parents: np.ndarray | None
    title: str
    up: str = "y"
    stream: str = "joint"
    unit: str = METRES

    def short_unit(self, name="m"):
        """(name of the unit 'm' or 'cm', number of them in a metre); ('', 1) if coordinates are not in metres."""
        return (name, 1 / UNITS[name]) if self.unit == METRES else ("", 1)

    def bodies(self):
        """{index: name} of the bodies that are in any frame."""
        there = np.flatnonzero(self.joints.any(axis=(0, 2, 3)))
        return {int(m): f"body {m + 1}" if len(there) > 1 else "" for m in there}

    def limbs(self):
        """[[joint, ...]]: see skeletons.limbs."""
        return skeletons.limbs(self.names, self.parents)

    def turned(self, vectors):
        """Vectors (..., 3) in the axes of x -> (..., 2) in those of the drawing."""
        return skeletons.turned(vectors, up=self.up)[..., :2]

    def per_frame(self, values):
        """Repeat each segment's value for its frames: (T', ...) -> (T, ...)."""
        return np.repeat(values, len(self.joints) // len(values), axis=0)


def feeders(args, split, labelled=None):
    """Feeders of the model's input, and of the joints for drawing. labelled: see feeder.loader.build_feeder."""
    joints = argparse.Namespace(**{**vars(args), "input_stream": "joint"})
    return tuple(build_feeder(options, split, False, labelled) for options in (args, joints))


def choose(data, rows=None, names=None):
    """Positions in a Feeder, by row numbers or names; by default three, spread evenly and if possible of different classes.
    Raises ValueError for unknown ones."""
    if names:
        there = [] if data.names is None else data.names[data.indices].tolist()
        if not there:
            raise ValueError(f"{data.data_path}: the sequences have no names; choose with --samples")
        for name in names:
            if name not in there:
                near = [other for other in there if name in other][:3] or difflib.get_close_matches(name, there) or there[:1]
                raise ValueError(f"{data.data_path}: no sequence {name!r} in the split {data.split}; near are {', '.join(near)}")
        return [there.index(name) for name in names]
    if rows:
        position = {int(row): i for i, row in enumerate(data.indices)}
        for row in rows:
            if row not in position:
                raise ValueError(
                    f"{data.data_path}: --samples {row}: the split {data.split} has the rows {min(position)} to "
                    f"{max(position)}, {len(data)} of them"
                )
        return [position[row] for row in rows]
    chosen, label = [], data.label[data.indices]
    for start in (len(data) * i // 3 for i in range(3)):
        fresh = np.flatnonzero(~np.isin(label, label[chosen]))  # of classes not chosen yet
        chosen.append(int(fresh[np.argmin((fresh - start) % len(data))]) if len(fresh) else start)
    return sorted(set(chosen))


def bones(data):
    """(V,) parents of a Feeder's joints; None if not known, then no bones are drawn."""
    try:
        return data.parents()
    except ValueError:
        return None


def load_sample(data, joint_data, index):
    """Item `index` of the two Feeders of `feeders` as a `Sample`."""
    x, label, row = data.get(index)
    joints = joint_data.get(index)[0].permute(1, 3, 2, 0).numpy()
    names = data.joint_names() or [f"joint {v}" for v in range(data.num_joints)]
    up = up_axis(data.layout, joints, data.file_metadata.get("how"))
    title = f"{data.key}_{row}" if data.names is None else str(data.names[row])
    stream = "bone" if data.bone else "joint"
    title = f"{title} · {data.class_title(label)}"
    turned, unit = skeletons.turned(joints, up=up), unit_of(data.file_metadata)
    return Sample(x, turned, tuple(names), bones(data), title, up, stream, unit)
