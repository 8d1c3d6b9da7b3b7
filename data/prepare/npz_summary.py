"""Statistics of the sequences in an npz, read piece by piece, since the file may be larger than memory."""

from hashlib import blake2b
from pathlib import Path

import numpy as np

from data.prepare.intermediate import read_rows
from feeder.units import unit_warning
from util import console

PIECE = 2**23  # bytes that are in memory at a time
LARGE = 2**28  # bytes from which on a progress bar is shown


class Values:
    """Range of each axis, and number of coordinates that are not finite, over all bodies that are not all zero."""

    def __init__(self):
        self.low, self.high, self.wrong = np.full(3, np.inf), np.full(3, -np.inf), 0

    def add(self, bodies):
        """Add bodies (..., V, 3); returns self."""
        bodies = bodies[bodies.any(axis=(-1, -2))]
        finite = np.isfinite(bodies)
        self.wrong += finite.size - np.count_nonzero(finite)
        for axis in range(3):
            values = bodies[..., axis][finite[..., axis]].astype(np.float64)  # whole numbers cannot be compared with infinity
            self.low[axis] = values.min(initial=self.low[axis])
            self.high[axis] = values.max(initial=self.high[axis])
        return self

    def lines(self, unit="metres"):
        """The statistics as two lines of text."""
        ranges = ", ".join(f"{axis} {low:.2f} to {high:.2f}" for axis, low, high in zip("xyz", self.low, self.high, strict=True))
        return [f"  {unit}: {ranges}", f"  NaN or infinite: {self.wrong:,} coordinates"]


def describe_split(feeder, seen):
    """Lines about the sequences of one split of an npz; feeder: its `Feeder`.

    seen: {digest: name} of the sequences of earlier splits, to find equal ones; this split's are added.
    """
    x, repeated, row = feeder.x, [], 0
    step = max(1, PIECE * len(x) // max(1, x.nbytes))  # sequences of a piece
    valid, gaps, empty, copies, values = [], [], 0, 0, Values()
    title = f"{Path(feeder.data_path).name} {feeder.key}"
    with console.bar(title=title, total=len(x), unit="seq", disable=x.nbytes < LARGE) as bar:
        for begin in range(0, len(x), step):
            piece = read_rows(x, begin, min(begin + step, len(x)))
            with np.errstate(invalid="ignore", over="ignore"):
                present = piece.sum(axis=2) != 0  # (n, T): frames with a body
            valid.append(present.sum(axis=1))
            gaps.append(np.where(present, np.arange(1, x.shape[1] + 1), 0).max(axis=1) - valid[-1])
            bodies = piece.reshape(*piece.shape[:2], feeder.num_bodies, feeder.num_joints, 3)
            values.add(bodies)
            if feeder.num_bodies > 1:
                alone = ~bodies[:, :, 1].any(axis=(1, 2, 3))
                empty += alone.sum()
                copies += ((bodies[:, :, 1] == bodies[:, :, 0]).all(axis=(1, 2, 3)) & ~alone).sum()
            for sequence in piece:
                digest, name = blake2b(np.ascontiguousarray(sequence), digest_size=16).digest(), feeder.name(row)
                if (first := seen.setdefault(digest, name)) != name:
                    repeated.append((name, first))
                row += 1
            bar.update(len(piece))
    lines = [_classes(feeder), *_frames(feeder, np.concatenate(valid), np.concatenate(gaps))]
    if feeder.num_bodies > 1:
        lines.append(f"  second body: empty in {empty:,} sequences, a copy of the first in {copies:,}")
    if repeated:
        name, first = repeated[0]
        within = sum(other.startswith(f"{feeder.key} ") for _, other in repeated)
        across = len(repeated) - within
        where = [f"{within:,} in this split"] * bool(within) + [f"{across:,} IN ANOTHER SPLIT"] * bool(across)
        lines.append(f"  equal to an earlier sequence: {', '.join(where)}; the first: {name} = {first}")
    lines += values.lines("from -1 to 1" if feeder.file_metadata.get("min_max") else "metres")
    if warning := unit_warning(feeder.metadata()):
        lines.append(f"  warning: {warning}")
    if feeder.groups is not None:
        lines.append(f"  groups: {len(np.unique(feeder.groups)):,}")
    return lines


def _classes(feeder):
    if not feeder.num_classes:
        return "  classes: no labels"
    count = np.bincount(feeder.label, minlength=feeder.num_classes)
    occurring = np.flatnonzero(count)
    few, many = occurring[count[occurring].argmin()], count.argmax()
    return (
        f"  classes: {len(occurring)} of {feeder.num_classes} occur; smallest: {feeder.class_title(few)} with {count[few]:,}, "
        f"largest: {feeder.class_title(many)} with {count[many]:,}"
    )


def _frames(feeder, valid, gaps):
    """valid: (N,) number of frames whose sum is not 0; gaps: (N,) number of other frames before the last valid one."""
    length = feeder.x.shape[1]
    full = 100 * np.mean(valid == length)
    lines = [f"  frames: {valid.min()} to {valid.max()}, median {np.median(valid):g}; {full:.1f} % fill all {length}"]
    if not valid.all():
        lines.append(f"  without any frame: {np.count_nonzero(valid == 0):,} sequences, the first in row {valid.argmin()}")
    lines.append(f"  all-zero frames in between: {gaps.sum():,}")
    if gaps.any():
        lines[-1] += f", in {np.count_nonzero(gaps):,} sequences, the first in row {np.flatnonzero(gaps)[0]}"
    if feeder.valid_frames is not None and (wrong := np.flatnonzero(valid != feeder.valid_frames)).size:
        lines.append(f"  valid_frames_{feeder.key} differs in {wrong.size:,} sequences, the first in row {wrong[0]}")
    return lines
