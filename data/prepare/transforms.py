"""Recordings as arrays (M, T, V, C), bodies x frames x joints x coordinates: checks, and how they become rows of an npz."""

from itertools import pairwise

import numpy as np

from data.prepare.kinect import find_joints

MAX_NAME = 255  # characters; an npz gives every name the room of the longest
BODY_FRAME = ("spine base", "neck", "shoulder left", "shoulder right")  # what --body_frame looks for, as Kinects call it
SPINE = "spine mid"  # and where it puts the origin


def pose(center, body_frame, names, num_joints):
    """(origin, axes) for `row` from --center and --body_frame: joints as names of `names` (or None), or as numbers.

    body_frame: four joints; if it is empty, they are found by their usual names. Raises ValueError."""
    names, origin, axes = [] if names is None else [str(name) for name in names], None, None
    found = find_joints(names) | {joint: names.index(joint) for joint in (*BODY_FRAME, SPINE) if joint in names}
    if body_frame:
        if len(body_frame) != len(BODY_FRAME):
            what = f"{len(body_frame)} joints instead of hip, neck, left and right shoulder"
            raise ValueError(f"--body_frame {' '.join(body_frame)}: {what}")
        axes = tuple(joint_index(word, names, num_joints, "--body_frame") for word in body_frame)
    elif body_frame is not None:
        if missing := [joint for joint in BODY_FRAME if joint not in found]:
            what = f"no joint has a name that could be Kinect's {missing[0]!r}"
            raise ValueError(f"--body_frame: name the four joints hip, neck, left and right shoulder; {what}")
        axes = tuple(found[joint] for joint in BODY_FRAME)
    if center is not None:
        origin = joint_index(center, names, num_joints)
    elif axes:
        origin = found.get(SPINE, axes[0])
    return origin, axes


def described(array):
    """Its shape and type, in words."""
    return f"{' x '.join(map(str, array.shape)) or 'a single value'} of type {array.dtype}"


def drop_empty(array):
    """The bodies and frames of an array (T, V, C) or (M, T, V, C), C = 2 or 3, in which there is anything: (M, T, V, C).

    Frames in which every body is all zero, and bodies that are all zero in every frame, are left out. Raises ValueError, without
    a file name, if the array has another form, holds what is not a finite number of float32, or if nothing is left.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "iuf" or array.ndim not in (3, 4) or array.shape[-1] not in (2, 3):
        raise ValueError(
            f"{described(array)} instead of numbers, frames x joints x 2 or 3 (or bodies x frames x joints x 2 or 3)"
        )
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
    frames = [body[body.any(axis=(1, 2))].astype(np.float64) for body in bodies]  # those in which the body is there
    moved = [np.square(f - f.mean(axis=0)).sum() for f in frames]
    return bodies[np.sort(np.argsort(moved, kind="stable")[::-1][:number])]


def row(bodies, unit=1.0, origin=None, axes=None, min_max=False):
    """(M, T, V, C) -> (T, M·V·3) float32 in metres; z is 0 where C is 2.

    unit: metres per unit. origin: index of the joint whose position in the first frame of the first body in which that one is
    seen becomes the origin. axes: four joints, see `body_axes`, of the first body; their directions become those of x, y and z.
    min_max: every axis, over all bodies and frames, is stretched to -1 .. 1, and no longer metres. A body stays all zero where
    it is absent. Raises ValueError, without a file name, if the body has no such axes.
    """
    _, num_frames, _, dims = bodies.shape
    bodies = bodies.transpose(1, 0, 2, 3)  # (T, M, V, C)
    # float32 stays float32 where nothing is computed but a difference; all else is computed in double precision
    if bodies.dtype.kind != "f" or unit != 1 or axes is not None or min_max:
        bodies = bodies.astype(np.float64) * unit
    out = np.zeros((*bodies.shape[:3], 3), np.float32 if bodies.dtype.itemsize <= 4 else np.float64)
    out[..., :dims] = bodies
    present = out.any(axis=(2, 3))  # (T, M): who is there in which frame
    if origin is not None:
        out -= out[present[:, 0].argmax(), 0, origin].copy()
    if axes is not None:
        out = out @ body_axes(out[present[:, 0], 0], axes).T
    if min_max:
        low, high = (edge(out[present], axis=(0, 1)) for edge in (np.min, np.max))
        out = np.where(high > low, 2 * (out - low) / np.where(high > low, high - low, 1) - 1, 0)
    out[~present] = 0  # who is absent was moved, too
    return out.reshape(num_frames, -1).astype(np.float32)


def upright(bodies, up):
    """(..., 3) with the axis `up`, 'y' or 'z', along y: as it is, or turned about x. Two coordinates stay as they are."""
    if up == "y" or bodies.shape[-1] != 3:
        return bodies
    x, y, z = np.moveaxis(bodies if bodies.dtype.kind == "f" else bodies.astype(np.float64), -1, 0)
    return np.stack([x, z, -y], axis=-1)


def resampled(bodies, factor):
    """(M, T, V, C) -> every `factor`-th frame: taken where that is a frame, else between its two neighbours, linearly.

    Where a joint is missing (all zero) in one of the two, the nearer frame counts.
    """
    at = np.arange(0, bodies.shape[1] - 1 + 1e-6, factor)
    before = np.minimum(at.astype(int), bodies.shape[1] - 1)
    after = np.minimum(before + 1, bodies.shape[1] - 1)
    share = (at - before)[:, None, None]
    if np.abs(share - np.round(share)).max(initial=0) < 1e-6:
        return bodies[:, np.round(at).astype(int)]
    low, high = bodies[:, before].astype(np.float64), bodies[:, after].astype(np.float64)
    gone = ~(low.any(axis=-1, keepdims=True) & high.any(axis=-1, keepdims=True))
    return np.where(gone, np.where(share <= 0.5, low, high), low + share * (high - low))


def pieces(num_frames, most):
    """[(end of its name, its frames), ...]: the fewest pieces of at most `most` frames, equally long. One of all frames, if
    these are no more or `most` is 0, has no other name."""
    count = -(-num_frames // most) if most else 1
    edges = [i * num_frames // count for i in range(count + 1)]
    return [(f"_{start}_{end}" * (count > 1), slice(start, end)) for start, end in pairwise(edges)]


def body_axes(joints, axes):
    """Directions of a body (T, V, 3): (3, 3), a row each for x, y and z, right-handed.

    axes: joints hip, neck, left and right shoulder. In the mean pose x points from the left shoulder to the right one, y from hip
    to neck as far as that is perpendicular to x, and z is their cross product. Raises ValueError if the four joints do not span
    a plane.
    """
    hip, neck, left, right = joints[:, list(axes)].mean(axis=0, dtype=np.float64)
    x, y = right - left, neck - hip
    z = np.cross(x, y)
    if not np.linalg.norm(z) > 1e-6 * max(np.linalg.norm(x), np.linalg.norm(y)) ** 2:
        raise ValueError("the body has no axes: in its mean pose hip, neck and shoulders lie on one line")
    x, z = x / np.linalg.norm(x), z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])


def joint_index(joint, names, num_joints, option="--center"):
    """Index of a joint given as its name in `names` (or None) or as a number in text, from 0. Raises ValueError."""
    names = [str(name) for name in names] if names is not None else []
    if joint in names:
        return names.index(joint)
    if joint.isdecimal() and int(joint) < num_joints:
        return int(joint)
    known = f" or one of {', '.join(names)}" if names else ""
    raise ValueError(f"{option} {joint}: use a number 0..{num_joints - 1}{known}")


def fill_bodies(rows, persons, num_bodies, rule="copy"):
    """Rows (T, M·V·3) of M = `persons`: by the rule 'copy' one person alone becomes `num_bodies` equal ones; else as they are,
    and the npz has zeros for the others."""
    return np.tile(rows, num_bodies) if rule == "copy" and persons == 1 else rows
