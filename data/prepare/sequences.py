"""Sequences from elsewhere, (M, T, V, C): what is checked, and how they become rows of an npz."""

import argparse

import numpy as np

MAX_NAME = 255  # characters; an npz gives every name the room of the longest
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
SECOND_BODY = ("zeros", "copy")


def add_unit(parser, default=1.0, what="of the coordinates"):
    """Options --unit and --scale of an argument parser; either gives `unit`, metres per unit."""
    unit = parser.add_mutually_exclusive_group()
    unit.add_argument("--unit", type=_named_unit, default=default, metavar="{m,cm,mm}", help=what)
    unit.add_argument("--scale", type=_scale, dest="unit", default=argparse.SUPPRESS, help="metres per unit, such as 1e-4")


def _named_unit(text):
    if text not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(UNITS)}; --scale takes metres per unit")
    return UNITS[text]


def _scale(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < np.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of metres above 0")
    return value


def seen(array):
    """The bodies and frames of an array (T, V, C) or (M, T, V, C), C = 2 or 3, in which there is anything: (M, T, V, C).

    Frames in which every body is all zero, and bodies that are all zero in every frame, are left out. Raises ValueError, without
    a file name, if the array has another form, holds what is not a finite number of float32, or if nothing is left.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "iuf" or array.ndim not in (3, 4) or array.shape[-1] not in (2, 3):
        shape = " x ".join(map(str, array.shape)) or "a single value"
        raise ValueError(f"{shape} of type {array.dtype} instead of numbers, frames x joints x 2 or 3 "
                         "(or bodies x frames x joints x 2 or 3)")  # fmt: skip
    if array.size == 0:
        raise ValueError("it is empty")
    if array.ndim == 3:
        array = array[None]
    if array.dtype.kind == "f":
        bad = np.argwhere(~(np.abs(array) <= np.finfo(np.float32).max))
        if len(bad):
            raise ValueError(f"frame {bad[0][1]}, joint {bad[0][2]} has a coordinate that is not a finite number")
    present = array.any(axis=(2, 3))
    if not present.any():
        raise ValueError("all coordinates are zero")
    return array[present.any(axis=1)][:, present.any(axis=0)]


def most_moving(bodies, number):
    """The `number` bodies (M, T, V, C) that move most, in the order they come in.

    How much one moves is the sum over its frames of the squared distance from its mean pose: duration × variance.
    """
    if len(bodies) <= number:
        return bodies
    frames = [body[body.any(axis=(1, 2))].astype(np.float64) for body in bodies]
    moved = [np.square(f - f.mean(axis=0)).sum() for f in frames]
    return bodies[np.sort(np.argsort(moved, kind="stable")[::-1][:number])]


def row(bodies, unit=1.0, origin=None):
    """(M, T, V, C) -> (T, M·V·3) float32 in metres; z is 0 where C is 2.

    unit: metres per unit. origin: index of the joint whose position in the first frame of the first body in which that one is
    seen becomes the origin; a body stays all zero where it is absent.
    """
    _, num_frames, _, dims = bodies.shape
    bodies = bodies.transpose(1, 0, 2, 3)
    if bodies.dtype.kind != "f" or unit != 1:
        bodies = bodies.astype(np.float64) * unit
    out = np.zeros((*bodies.shape[:3], 3), np.float32 if bodies.dtype.itemsize <= 4 else np.float64)
    out[..., :dims] = bodies
    if origin is not None:
        present = out.any(axis=(2, 3))
        out -= out[present[:, 0].argmax(), 0, origin].copy()
        out[~present] = 0
    return out.reshape(num_frames, -1).astype(np.float32)


def pieces(num_frames, most):
    """[(start, end), ...]: the fewest pieces of at most `most` frames, equally long; one of all frames if `most` is 0."""
    count = -(-num_frames // most) if most else 1
    return [(i * num_frames // count, (i + 1) * num_frames // count) for i in range(count)]


def joint_index(joint, names, num_joints):
    """Index of a joint given as its name in `names` (or None) or as a number in text, from 0. Raises ValueError."""
    names = [str(name) for name in names] if names is not None else []
    if joint in names:
        return names.index(joint)
    if joint.isdecimal() and int(joint) < num_joints:
        return int(joint)
    known = f" or one of {', '.join(names)}" if names else ""
    raise ValueError(f"--center {joint}: use a number 0..{num_joints - 1}{known}")
