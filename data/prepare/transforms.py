"""Recordings as arrays (M, T, V, C), bodies x frames x joints x coordinates: cleaned, resampled, and normalised for an npz."""

from itertools import pairwise

import numpy as np

from data.prepare.kinect import find_joints

MAX_NAME = 255  # characters; in an npz every name takes the space of the longest
FRAME_JOINTS = ("spine base", "neck", "shoulder left", "shoulder right")  # joints that define the body frame
SPINE = "spine mid"  # joint at its origin
UP = ("y", "-y", "z", "-z")  # axes that may point up


def origin_and_frame_joints(center, body_frame, names, num_joints):
    """(origin, frame_joints) of `row` from the options --center and --body_frame, joints given as one of `names` or a number.

    names: (V,) or None. center: None without the option. body_frame: four joints, an empty list to find them by their usual
    names, or None. Raises ValueError for joints that do not exist or cannot be found.
    """
    names, origin, frame_joints = [] if names is None else [str(name) for name in names], None, None
    found = find_joints(names) | {joint: names.index(joint) for joint in (*FRAME_JOINTS, SPINE) if joint in names}
    if body_frame:
        if len(body_frame) != len(FRAME_JOINTS):
            what = f"{len(body_frame)} joints instead of hip, neck, left and right shoulder"
            raise ValueError(f"--body_frame {' '.join(body_frame)}: {what}")
        frame_joints = tuple(joint_index(joint, names, num_joints, "--body_frame") for joint in body_frame)
    elif body_frame is not None:
        if missing := [joint for joint in FRAME_JOINTS if joint not in found]:
            what = f"no joint has a name that could be Kinect's {missing[0]!r}"
            raise ValueError(f"--body_frame: name the four joints hip, neck, left and right shoulder; {what}")
        frame_joints = tuple(found[joint] for joint in FRAME_JOINTS)
    if center is not None:
        origin = joint_index(center, names, num_joints)
    elif frame_joints:
        origin = found.get(SPINE, frame_joints[0])
    return origin, frame_joints


def describe_array(array):
    """Shape and type of an array, for messages."""
    return f"{' x '.join(map(str, array.shape)) or 'a single value'} of type {array.dtype}"


def drop_empty(array):
    """An array (T, V, C) or (M, T, V, C), C = 2 or 3, without empty frames and bodies: (M, T, V, C).

    A frame is empty if every body in it is all zero, a body if it is all zero in every frame. Raises ValueError, without file
    name, if the array has another shape or type, holds a value that is not finite in float32, or is all zero.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "iuf" or array.ndim not in (3, 4) or array.shape[-1] not in (2, 3):
        raise ValueError(
            f"{describe_array(array)} instead of numbers, frames x joints x 2 or 3 (or bodies x frames x joints x 2 or 3)"
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
    """The `number` bodies with the most motion among bodies (M, T, V, C), in their order there.

    Motion: sum over the frames with the body of its squared distance from its mean pose, that is, duration × variance.
    """
    if len(bodies) <= number:
        return bodies
    frames = [body[body.any(axis=(1, 2))].astype(np.float64) for body in bodies]  # without those in which it is absent
    moved = [np.square(f - f.mean(axis=0)).sum() for f in frames]
    return bodies[np.sort(np.argsort(moved, kind="stable")[::-1][:number])]


def row(bodies, unit=1.0, origin=None, frame_joints=None, min_max=False):
    """Bodies (M, T, V, C) as a row of an npz: (T, M·V·3) float32 in metres; z is 0 if C is 2.

    unit: metres per unit. origin: joint of the first body whose position, in the first frame with this body, is the origin.
    frame_joints: those of the body frame of the first body, see `body_axes`, whose axes become x, y and z. min_max: scale every
    axis, over all bodies and frames, to -1 .. 1 instead of metres. A body stays all zero in frames in which it is absent. Raises
    ValueError, without file name, if the body has no such axes.
    """
    _, num_frames, _, dims = bodies.shape
    bodies = bodies.transpose(1, 0, 2, 3)  # (T, M, V, C)
    # float32 stays float32 if only the origin is subtracted; everything else is computed in float64
    if bodies.dtype.kind != "f" or unit != 1 or frame_joints is not None or min_max:
        bodies = bodies.astype(np.float64) * unit
    out = np.zeros((*bodies.shape[:3], 3), np.float32 if bodies.dtype.itemsize <= 4 else np.float64)
    out[..., :dims] = bodies
    present = out.any(axis=(2, 3))  # (T, M): which body is in which frame
    if origin is not None:
        out -= out[present[:, 0].argmax(), 0, origin].copy()
    if frame_joints is not None:
        out = out @ body_axes(out[present[:, 0], 0], frame_joints).T
    if min_max:
        low, high = (edge(out[present], axis=(0, 1)) for edge in (np.min, np.max))
        out = np.where(high > low, 2 * (out - low) / np.where(high > low, high - low, 1) - 1, 0)
    out[~present] = 0  # the steps above changed absent bodies, too
    return out.reshape(num_frames, -1).astype(np.float32)


def to_y_up(bodies, up):
    """Coordinates (..., 2 or 3) rotated about x so that the axis `up`, one of UP, points along y; 2D lies in the plane z = 0."""
    if up == "y" or bodies.shape[-1] != 3 and up != "-y":
        return bodies
    x, y, *z = np.moveaxis(bodies if bodies.dtype.kind == "f" else bodies.astype(np.float64), -1, 0)
    if up == "-y":
        return np.stack([x, -y, *(-depth for depth in z)], axis=-1)
    return np.stack([x, *z, -y] if up == "z" else [x, -z[0], y], axis=-1)


def missing_joints(bodies):
    """Which joints of bodies (M, T, V, C) a tracker did not find: (M, T, V) bool. They have a coordinate that is no number; or
    all are 0, though the body is there, and not in every frame with the body, as of a joint at the origin."""
    there = bodies.any(axis=(2, 3))[..., None]
    zero, unknown = ~bodies.any(axis=-1) & there, ~np.isfinite(bodies).all(axis=-1)
    at_origin = (zero | unknown | ~there).all(axis=1, keepdims=True)
    return unknown | zero & ~at_origin


def fill_gaps(bodies, most):
    """Bodies (M, T, V, C) in float64 with `missing_joints` interpolated linearly from the frames before and after a gap; at the
    beginning and the end the nearest frame's position is taken. Raises ValueError, without file name, for a gap of more than
    `most` frames."""
    bodies = np.asarray(bodies, np.float64)
    absent = ~np.isfinite(bodies).any(axis=(1, 2, 3))
    bodies = np.where(absent[:, None, None, None] & ~absent.all(), 0.0, bodies)  # a second body of which nothing is known
    missing, filled = missing_joints(bodies), bodies.copy()
    for m, v in np.argwhere(missing.any(axis=1)):
        gone = missing[m, :, v]
        edges = np.flatnonzero(np.diff(gone, prepend=False, append=False))
        begins, lengths = edges[::2], edges[1::2] - edges[::2]
        if lengths.max() > most:
            begin = begins[lengths.argmax()]
            raise ValueError(f"joint {v} is missing in {lengths.max()} frames from frame {begin} on, more than --fill {most}")
        known = np.flatnonzero(~gone & bodies[m].any(axis=(1, 2)))
        if not len(known):
            raise ValueError(f"joint {v} is missing in every frame")
        for c in range(bodies.shape[3]):
            filled[m, gone, v, c] = np.interp(np.flatnonzero(gone), known, bodies[m, known, v, c])
    return filled


def resample(bodies, factor):
    """Bodies (M, T, V, C) at every `factor`-th frame, linearly interpolated between two frames where it is not a whole number.

    A joint that is missing (all zero) in one of these two is taken from the nearer one.
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
    """[(suffix of the name, slice of frames), ...]: the fewest pieces of equal length with at most `most` frames.

    The suffix is '' if there is only one piece, as with `most` = 0.
    """
    count = -(-num_frames // most) if most else 1
    edges = [i * num_frames // count for i in range(count + 1)]
    return [(f"_{start}_{end}" * (count > 1), slice(start, end)) for start, end in pairwise(edges)]


def body_axes(joints, frame_joints):
    """Axes x, y and z of a body (T, V, 3): the rows of a rotation matrix (3, 3).

    frame_joints: hip, neck, left and right shoulder. In the mean pose x points from the left to the right shoulder, y along
    the component of hip to neck that is perpendicular to x, and z is their cross product. Raises ValueError if hip to neck and
    the shoulders are parallel.
    """
    hip, neck, left, right = joints[:, list(frame_joints)].mean(axis=0, dtype=np.float64)
    x, y = right - left, neck - hip
    z = np.cross(x, y)
    if not np.linalg.norm(z) > 1e-6 * max(np.linalg.norm(x), np.linalg.norm(y)) ** 2:
        raise ValueError("the body has no axes: in its mean pose hip, neck and shoulders lie on one line")
    x, z = x / np.linalg.norm(x), z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])


def joint_index(joint, names, num_joints, option="--center"):
    """Number of a joint, from 0, given as one of `names` (V,) (or None) or as a number in a string. Raises ValueError."""
    names = [str(name) for name in names] if names is not None else []
    if joint in names:
        return names.index(joint)
    if joint.isdecimal() and int(joint) < num_joints:
        return int(joint)
    known = f" or one of {', '.join(names)}" if names else ""
    raise ValueError(f"{option} {joint}: use a number 0..{num_joints - 1}{known}")


def fill_bodies(rows, persons, num_bodies, rule="copy"):
    """Rows (T, M·V·3) of M = `persons` bodies, with the rule 'copy' a single one repeated `num_bodies` times. Bodies that are
    still missing are zeros in the npz."""
    return np.tile(rows, num_bodies) if rule == "copy" and persons == 1 else rows
