"""Drawings of a report: matrices, axes, skeletons."""

import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from report import svg
from util import confusion, logging


def test_a_picture_of_a_confusion_matrix():
    """Full cells have the map's darkest blue: predicted column 2 in the rows of the true classes 1 and 2."""
    counts = np.array([[9, 1, 0], [0, 0, 10], [0, 0, 5]])
    image = confusion.picture(counts, ["$\\frac{", "中文", "walk"])  # no mathematics, no warning
    full = (image == (8, 48, 107)).all(2)
    columns = full.sum(0) > 0.6 * full.sum(0).max()
    rows = full[:, columns].all(1)
    assert rows.sum() == pytest.approx(2 * columns.sum(), rel=0.05) and columns.sum() > 50
    assert np.diff(rows.nonzero()[0]).max() == 1


def test_pictures_come_now_and_then_and_at_the_end_and_harm_nothing(capsys):
    def fail():
        raise ZeroDivisionError("of no\nimportance")

    drawn = []
    log = logging.Log.__new__(logging.Log)
    log.drawn, log.board = time.monotonic(), SimpleNamespace(add_image=lambda *a, **k: drawn.append(a), flush=lambda: None)
    log.picture("p", 0, fail)  # TensorBoard counts from 1
    log.drawn -= logging.FIGURE_SECONDS
    log.picture("p", 1, lambda: "one")
    log.picture("p", 2, fail)
    log.picture("p", 3, lambda: "three", must=True)
    assert drawn == [("p", "one", 2), ("p", "three", 4)] and not capsys.readouterr().out
    log.picture("p", 4, fail, must=True)
    assert capsys.readouterr().out == "warning: no picture 'p' for TensorBoard (of no importance)\n"


def test_counts_and_mistakes():
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 7, 200), rng.integers(0, 6, 200)  # class 6 is never predicted
    counts = confusion.counts(label, predicted, 8)  # and there is no class 7
    assert np.array_equal(counts[:7, :7], confusion_matrix(label, predicted)) and counts.sum() == 200
    assert np.allclose(confusion.shares(counts).sum(1), [1] * 7 + [0])
    worst = confusion.confused(counts, 100)
    assert len(worst) == (counts - np.diag(np.diag(counts)) > 0).sum() and all(t != p for t, p, *_ in worst)
    assert [share for *_, share in worst] == sorted((share for *_, share in worst), reverse=True)


@pytest.mark.parametrize("low, high", [(0, 1), (0.0005, 0.001), (99.2, 99.9), (-3, 1e6), (5, 5), (0, 0), (1e-9, 2e-9)])
def test_ticks_are_few_round_and_around(low, high):
    marks = svg.ticks(low, high, 5)
    assert marks[0] <= low and marks[-1] >= high and 2 <= len(marks) <= 9 and len(set(marks)) == len(marks)
    steps = np.diff(marks)
    assert np.allclose(steps, steps[0], rtol=1e-6) and f"{steps[0]:.1e}"[0:3] in ("1.0", "2.0", "2.5", "5.0")
    assert all(float(f"{mark:.6g}") == pytest.approx(mark) for mark in marks)


def test_a_skeleton_moves_as_the_sequence():
    """Two joints; the second one rises by a tenth of a metre a frame, and the body is gone in frame 3."""
    sequence = np.zeros((6, 2, 2, 3))
    sequence[:, 0, 0] = 1.0, 1.0, 2.0
    sequence[:, 0, 1] = [(1.5, 1.0 + 0.1 * t, 2.0) for t in range(6)]
    sequence[3] = 0
    drawn = svg.skeleton(sequence, np.array([0, 0]), np.array([1, 2]), "two & joints", fps=30, width=100, height=100)
    (values,) = re.findall(r'values="([^"]*)"', drawn)  # one path: the second person is never there
    poses = [list(map(int, re.findall(r"-?\d+", pose))) for pose in values.split(";")]
    assert len(poses) == 6 and poses[3] == [0, 0] and 'dur="0.20s"' in drawn and "two &amp; joints" in drawn
    there = [poses[t] for t in (0, 1, 2, 4, 5)]
    assert len({tuple(pose[:3]) for pose in there}) == 1  # only y of the second joint changes
    metre = (there[0][2] - there[0][0]) / 0.5
    assert [(pose[1] - pose[3]) / metre for pose in there] == pytest.approx([0, 0.1, 0.2, 0.4, 0.5], abs=2 / metre)
    assert all(0 <= value <= 1000 for pose in there for value in pose)
    with pytest.raises(ValueError, match="no body"):
        svg.skeleton(np.zeros((3, 1, 2, 3)), None, np.array([1, 1]), "")
