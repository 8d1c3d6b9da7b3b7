"""Checks for misread recordings: wrong order of axes or joints, extra columns, wrong unit. Each message names the option to use.

The thresholds were set on real recordings, which pass. Recordings are (M, T, V, C) in any unit; messages begin with `where`, the
file.
"""

import re

import numpy as np

from data.prepare.axes import MOST_BODIES
from feeder import units

USUAL_JOINTS = (15, 20, 25)  # numbers of joints of Kinect skeletons
CONFIDENCE = re.compile("(?i)vis|conf|score|likelihood|presence|prob|state|(_|^)[cps]$")  # names of columns
MANY = 32  # columns; with fewer, one of every 4 may be from 0 to 1 by chance
MIN_ROWS = 8  # with fewer rows, a column may rise by chance
SWAPPED = 3  # distance between frames by that between neighbouring joints; recordings: below 0.2, with axes swapped: above 8
WRONG_TREE = 1.35  # length of the bones by that of the shortest tree; data sets: 1.03 to 1.15, joints in another order: above 1.5
CHANGE = 1.75  # longest by shortest length of a bone, median over the bones; recordings: up to 1.4


class Misread(ValueError):
    """A recording that was probably read with the wrong options."""


def check_bodies(bodies, shape, where):
    """Raise Misread if `bodies` (M, T, V, C), from an array of this shape, do not look like bodies in consecutive frames."""
    count, frames, joints, dims = bodies.shape
    given = " x ".join(map(str, shape))
    # more bodies than any recording has, or than frames
    if count > MOST_BODIES or count > max(2, frames):
        raise Misread(f"{where}: {given} would be {count} bodies in {frames} frames; if frames come first: --axes TMVC")
    # a body moves less from frame to frame than the distance between its joints
    x = np.asarray(bodies[bodies.any(axis=(1, 2, 3)).argmax()], np.float64)
    x = x[x.any(axis=(1, 2))]
    if not x.size or not np.isfinite(x).all():
        return  # transforms.drop_empty names what is wrong
    if min(x.shape[:2]) > 1:
        in_time, in_space = (np.median(np.linalg.norm(np.diff(x, axis=axis), axis=-1)) for axis in (0, 1))
        if in_time > SWAPPED * in_space:
            raise Misread(
                f"{where}: read as {frames} frames of {joints} joints, neighbouring joints are closer together than the same "
                "joint in two consecutive frames; if joints come first: --axes VTC"
            )
    # 2D keypoints with a confidence
    if dims == 3 and 0 <= x[..., 2].min() and x[..., 2].max() <= 1 and np.median(x[..., :2]) > 10:
        raise Misread(f"{where}: the third number of every joint is from 0 to 1, like a confidence; --columns xy_ leaves it out")


def check_columns(rows, numbers, where, names=()):
    """Raise Misread if rows (R, K) have columns that are not coordinates. numbers: of one joint; names: of the columns, or ()."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    count, width = rows.shape
    if count < MIN_ROWS:
        return
    # time stamps and frame numbers rise in equal steps, or unlike the same coordinate of other joints, which rises with walking
    for column in sorted({0, 1, width - 2, width - 1} & {*range(width)}):
        steps = np.diff(rows[:, column])
        if not (steps > 0).all() or width <= numbers:
            continue
        even = np.median(np.abs(steps - np.median(steps))) <= 0.01 * np.median(steps)
        others = np.delete(rows, column, axis=1)[:, ::numbers] if column else rows[:, numbers::numbers]
        moving = others[:, others.std(axis=0) > 0]
        follow = np.abs(np.corrcoef(rows[:, column], moving, rowvar=False)[0, 1:]) > 0.9 if moving.size else np.zeros(1)
        if even or count >= 2 * MIN_ROWS and follow.mean() < 0.25:
            number = column if column < 2 else column - width
            raise Misread(
                f"{where}: column {number} of {width} (from 0) rises from row to row, like time stamps and frame numbers; "
                f"--skip_columns {number} leaves it out"
            )
    # a tracking state or confidence beside every three coordinates has few values, or alone is from 0 to 1, or is named so
    if width % 4 == 0 and width > 4 and numbers == 3:
        quarters = [rows[:, begin::4] for begin in range(4)]
        few = [len(np.unique(quarter)) <= 4 for quarter in quarters]
        shares = [width >= MANY and 0 <= quarter.min() and quarter.max() <= 1 for quarter in quarters]
        named = [len(names) == width and all(map(CONFIDENCE.search, names[begin::4])) for begin in range(4)]
        for what, like in (("has few different values", few), ("is from 0 to 1", shares), ("is named", named)):
            if like.count(True) == 1 and like.index(True) in (0, 3):
                letters = "_xyz" if like[0] else "xyz_"
                raise Misread(f"{where}: one of every 4 columns {what}, like a confidence; --columns {letters} leaves it out")


def suggest_columns(width, joints, columns):
    """'; ...' with options under which rows of `width` numbers have this (or a usual) number of joints, or ''."""
    if width == 4 and not columns:
        return "; perhaps a row is one joint: --columns xyz_, with --row 1 JOINTS 4 or a skeleton"
    for letters in (columns,) if columns else ("xyz", "xyz_"):
        for extra in range(4):
            count, rest = divmod(width - extra, len(letters))
            if not rest and count > 0 and (count % joints == 0 if joints else count in USUAL_JOINTS):
                skip = f" --skip_columns {' '.join(map(str, range(extra)))}" * (extra > 0)
                return f"; perhaps {count} joints with{f' --columns {letters}' * (letters != (columns or 'xyz'))}{skip}"
    return ""


def bone_statistics(bodies, parents):
    """(tree, change) of the first of bodies (M, T, V, C).

    tree: total length of its bones, divided by that of the minimum spanning tree of its joints. change: longest by shortest
    length of a bone over time (95th by 5th percentile), median over the bones.
    """
    from scipy.sparse.csgraph import minimum_spanning_tree  # imported here because it is slow to import

    x = np.asarray(bodies[0], np.float64)
    x = x[x.any(axis=(1, 2))]
    x = x[:: max(1, len(x) // 30)]
    distance = np.mean([np.linalg.norm(frame[:, None] - frame[None], axis=-1) for frame in x], axis=0)
    child = np.flatnonzero(parents != np.arange(len(parents)))
    length = np.linalg.norm(x[:, child] - x[:, parents[child]], axis=-1)
    low, high = np.percentile(length, [5, 95], axis=0)
    shortest = minimum_spanning_tree(distance).sum()
    return distance[child, parents[child]].sum() / shortest if shortest else 1.0, np.median((high + 1e-9) / (low + 1e-9))


def extents(bodies):
    """(C,) extents of the first body along each axis, median over frames, in the file's unit.

    Joints that never move are ignored if most others move: such as a root that stays at the origin of the world.
    """
    x = np.asarray(bodies[0], np.float64)
    x = x[x.any(axis=(1, 2))]
    moving = (x != x[:1]).any(axis=(0, 2))  # (V,)
    return np.median(np.ptp(x[:, moving] if 2 * moving.sum() > len(moving) else x, axis=1), axis=0)


def standing_warnings(extents, unit):
    """Warnings for bodies, most of them standing, with extents (3,) along x, y and z: the axis that points up, and the unit."""
    lines = []
    if extents[2] > 1.5 * extents[1]:
        _, y, z = extents * unit
        lines = [f"bodies extend over {z:.2g} m along z and {y:.2g} m along y: which axis points up, --up says"]
    return [*lines, units.doubt_unit(extents.max(), unit, units.STANDING)]
