"""Whether a recording was misread: its axes, columns, joints or unit confused. Each rule says which option puts it right, and
real recordings pass.

Recordings here are (M, T, V, C) in whatever unit; a `Misread` begins with `where`, the file.
"""

import numpy as np

from data.prepare.axes import MOST_BODIES
from feeder import units

USUAL = (15, 20, 25)  # joints of the Kinects and their kin
LONG = 8  # rows from which on an order in them is no accident
SWAPPED = 3  # frames are so many times less alike than neighbouring joints; real recordings: below 0.2, swapped ones above 8
WRONG_TREE = 1.35  # all bones by the shortest tree; real data sets: 1.03 to 1.15; joints in another order: from 1.5
CHANGE = 1.75  # longest by shortest of the middle one of the bones; real recordings: up to 1.4


class Misread(ValueError):
    """The numbers of a file cannot be what they were taken for."""


def refuse(bodies, shape, where):
    """Raise Misread if `bodies`, from an array of this shape, cannot be persons in time."""
    count, frames, joints, dims = bodies.shape
    given = " x ".join(map(str, shape))
    # nobody records so many persons, or more persons than frames: frames come first
    if count > MOST_BODIES or count > max(2, frames):
        raise Misread(f"{where}: {given} would be {count} bodies in {frames} frames; --axes TMVC says that frames come first")
    # a body hardly moves from frame to frame, and its joints are apart: else joints have been taken for frames
    x = np.asarray(bodies[bodies.any(axis=(1, 2, 3)).argmax()], np.float64)
    x = x[x.any(axis=(1, 2))]
    if min(x.shape[:2], default=0) > 1 and np.isfinite(x).all():
        in_time, in_space = (np.median(np.linalg.norm(np.diff(x, axis=axis), axis=-1)) for axis in (0, 1))
        if in_time > SWAPPED * in_space:
            raise Misread(
                f"{where}: as {frames} frames of {joints} joints, neighbouring joints are more alike than neighbouring frames; "
                "--axes VTC says that joints come first"
            )
    # keypoints of a picture, and how sure they are
    if dims == 3 and 0 <= x[..., 2].min(initial=0) and x[..., 2].max(initial=0) <= 1 and np.median(x[..., :2]) > 10:
        raise Misread(f"{where}: the third number of every joint is from 0 to 1, as a score is; --columns xy_ leaves it out")


def refuse_columns(rows, numbers, where):
    """Raise Misread if rows (R, K) have columns that are no coordinates; `numbers` are those of a joint."""
    count, width = rows.shape
    if count < LONG or not np.isfinite(rows).all():
        return
    # time stamps and frame numbers: they rise evenly, or rise where no other joint goes the same way (as one who walks does)
    for column in sorted({0, 1, width - 2, width - 1} & {*range(width)}):
        steps = np.diff(rows[:, column])
        if not (steps > 0).all() or width <= numbers:
            continue
        even = np.median(np.abs(steps - np.median(steps))) <= 0.01 * np.median(steps)
        others = np.delete(rows, column, axis=1)[:, ::numbers] if column else rows[:, numbers::numbers]
        moving = others[:, others.std(axis=0) > 0]
        follow = np.abs(np.corrcoef(rows[:, column], moving, rowvar=False)[0, 1:]) > 0.9 if moving.size else np.zeros(1)
        if even or count >= 2 * LONG and follow.mean() < 0.25:
            number = column if column < 2 else column - width
            raise Misread(
                f"{where}: column {number} of {width} (from 0) rises from row to row, as time stamps and frame numbers do; "
                f"--skip_columns {number} leaves it out"
            )
    # a state of tracking after every three numbers: few values, whatever the joint
    if width % 4 == 0 and width > 4 and numbers == 3:
        few = [len(np.unique(rows[:, begin::4])) <= 4 for begin in range(4)]
        if few.count(True) == 1 and few.index(True) in (0, 3):
            letters = "_xyz" if few[0] else "xyz_"
            raise Misread(
                f"{where}: one of every 4 columns has hardly any values, as a confidence has; --columns {letters} leaves it out"
            )


def columns_that_fit(width, joints, columns):
    """'; ...' naming options by which rows of `width` numbers are whole, for that many joints or usual ones, or ''."""
    if width == 4 and not columns:
        return "; a joint a row, perhaps: --columns xyz_, and --row 1 JOINTS 4 or a skeleton"
    for letters in (columns,) if columns else ("xyz", "xyz_"):
        for extra in range(4):
            count, rest = divmod(width - extra, len(letters))
            if not rest and count > 0 and (count % joints == 0 if joints else count in USUAL):
                skip = f" --skip_columns {' '.join(map(str, range(extra)))}" * (extra > 0)
                return f"; {count} joints, perhaps, with{f' --columns {letters}' * (letters != (columns or 'xyz'))}{skip}"
    return ""


def bones(bodies, parents):
    """(tree, change) of (M, T, V, C): the length of all bones by that of the shortest tree that joins the joints, and the
    median, over the bones, of how much longer a bone is at its longest than at its shortest (95th by 5th percentile)."""
    from scipy.sparse.csgraph import minimum_spanning_tree  # here, because it takes a while to import

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
    """(C,) extents of the first body along each axis, in the median frame and the file's unit.

    Joints that never move, while most others do, do not count: such as a root at the origin of the world.
    """
    x = np.asarray(bodies[0], np.float64)
    x = x[x.any(axis=(1, 2))]
    moving = (x != x[:1]).any(axis=(0, 2))  # (V,)
    return np.median(np.ptp(x[:, moving] if 2 * moving.sum() > len(moving) else x, axis=1), axis=0)


def standing(extents, unit):
    """Lines about people with the extents (3,) along x, y and z, most of whom stand: which way is up, and their unit."""
    lines = []
    if extents[2] > 1.5 * extents[1]:
        _, y, z = extents * unit
        lines = [f"bodies extend over {z:.2g} m along z and {y:.2g} m along y: which axis points up, --up says"]
    return [*lines, units.doubt_unit(extents.max(), unit, units.STANDING)]
