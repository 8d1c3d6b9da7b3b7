"""Charts of a run's page: matrices, curves, points, moving skeletons."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.metrics import confusion_matrix

from report import charts
from util import confusion


def test_counts_and_mistakes():
    rng = np.random.default_rng(0)
    label, predicted = rng.integers(0, 7, 200), rng.integers(0, 6, 200)  # class 6 is never predicted
    counts = confusion.counts(label, predicted, 8)  # and there is no class 7
    assert np.array_equal(counts[:7, :7], confusion_matrix(label, predicted)) and counts.sum() == 200
    assert np.allclose(confusion.shares(counts).sum(1), [1] * 7 + [0])
    worst = confusion.confused(counts, 100)
    assert len(worst) == (counts - np.diag(np.diag(counts)) > 0).sum() and all(t != p for t, p, *_ in worst)
    assert [share for *_, share in worst] == sorted((share for *_, share in worst), reverse=True)


def test_a_picture_of_a_confusion_matrix():
    """Where all of a class was taken for the second one there is deep blue if that is right, else deep orange; the class that
    occurs nowhere has neither row nor column."""
    counts = np.array([[9, 1, 0, 0], [0, 10, 0, 0], [0, 5, 0, 0], [0, 0, 0, 0]])
    image = confusion.picture(counts, ["$\\frac{", "中文", "walk", "nobody"])  # no mathematics, no warning
    blue, orange = ((image == colour).all(2) for colour in ((31, 111, 178), (200, 89, 10)))
    (top, left), (bottom, right) = np.argwhere(blue).min(0), np.argwhere(orange).max(0)
    assert blue.sum() > 1000 and orange.sum() > 1000 and 1.8 < (bottom - top) / (right - left) < 2.2
    labels = confusion.figure(counts, list("abcd"))[0].axes[0].get_yticklabels()
    assert [text.get_text() for text in labels] == ["a 0", "b 1", "c 2"]


def squares(svg):
    """{title: (x, y, width) in pixels} of what the mouse shows on a chart."""
    tree = ElementTree.fromstring(svg.replace("xlink:href", "href"))
    found = [rect for rect in tree.iter("rect") if rect.get("class") == "hover"]
    return {rect.find("title").text: tuple(float(rect.get(key)) for key in ("x", "y", "width")) for rect in found}


def test_curves_are_axes_with_labels_that_the_first_epoch_does_not_flatten():
    line = [(epoch, 1000.0 if epoch == 1 else 2 - epoch / 20) for epoch in range(1, 21)] + [(21, float("nan"))]
    svg = charts.curves({"train": line}, "loss & more")
    assert {"epoch", "loss & more"} <= set(ElementTree.fromstring(svg.replace("xlink:href", "href")).itertext())
    places = squares(svg)
    assert len(places) == 20 and "train, epoch 2: 1.9" in places
    (x2, y2, _), (x20, y20, _) = places["train, epoch 2: 1.9"], places["train, epoch 20: 1"]
    assert y20 - y2 > 100 and places["train, epoch 1: 1000"][1] < 0  # lower values are lower on the page; epoch 1 is beyond it
    assert places["train, epoch 11: 1.45"][0] == pytest.approx((x2 + x20) / 2, abs=0.2)
    assert charts.curves({"train": [(1, float("inf"))]}, "loss") is None


def test_lines_of_a_group_have_a_mean_over_the_epochs_of_all():
    """Drawn from the numbers: the mean lies where they say, and a group without numbers is left out."""
    lines = [[(1, 4.0), (2, 2.0), (3, 1.0)], [(1, 2.0), (2, float("nan")), (3, 2.0)]]
    looks = {"a $x_": ("#112233", "-"), "b": ("#445566", "--"), "c": ("#778899", "-")}
    svg = charts.curves_of_runs({"a $x_": lines, "b": [[(1, 3.0), (3, 0.0)]], "c": [[], []]}, "loss", looks)
    places = squares(svg)
    assert set(places) == {"a $x_, mean of 2, epoch 1: 3", "a $x_, mean of 2, epoch 3: 1.5", "b, epoch 1: 3", "b, epoch 3: 0"}
    assert places["a $x_, mean of 2, epoch 1: 3"] == places["b, epoch 1: 3"]
    assert {"a $x_", "b", "epoch", "loss"} <= set(ElementTree.fromstring(svg.replace("xlink:href", "href")).itertext())
    thin, bold = (len(re.findall(rf"stroke: #112233{more}", svg)) for more in ("; stroke-opacity: 0.5; stroke-width: 0.8", ";"))
    assert thin == 2 and bold >= 4 and "#445566" in svg and "#778899" not in svg


def test_a_matrix_of_120_classes_has_every_name_and_cells_where_they_belong():
    counts = np.eye(130, dtype=int) * 3
    counts[5, 7], counts[120:] = 1, 0
    svg = charts.confusion_matrix(counts, [f"a <b>{k}" for k in range(130)])
    texts = set(ElementTree.fromstring(svg.replace("xlink:href", "href")).itertext())
    assert {f"a <b>{k} {k}" for k in range(120)} <= texts and not any("<b>125" in text for text in texts)
    places = squares(svg)
    (x5, y5, cell), (x7, y7, _) = places["a <b>5 → a <b>5: 3 of 4 (75.0%)"], places["a <b>7 → a <b>7: 3 of 3 (100.0%)"]
    assert places["a <b>5 → a <b>7: 1 of 4 (25.0%)"][:2] == (x7, y5) and cell >= 9
    assert (x7 - x5, y7 - y5) == pytest.approx((2 * cell, 2 * cell), abs=0.3)


def test_points_have_a_legend_and_every_class_its_own_look():
    """The data set's names where it has some, up to NTU-120's number of classes."""
    labels = np.arange(240) % 120
    points = np.random.default_rng(0).normal(size=(240, 2))
    figure = charts.scatter({"": points}, labels, {c: f"$c_{c}" for c in range(120)}, labels > 60)
    figure.draw_without_rendering()
    (ax,), (legend,) = figure.axes, figure.legends
    looks = {(tuple(c.get_edgecolor()[0]), c.get_paths()[0].vertices.tobytes()) for c in ax.collections}
    assert len(looks) == 120
    assert [text.get_text() for text in legend.get_texts()] == [f"$c_{c} (2)" for c in range(120)]
    box, axes = legend.get_window_extent(), ax.get_window_extent()
    assert box.x0 >= axes.x1 and box.y0 >= 0 and box.x1 <= figure.bbox.x1  # outside, and all of it there
    hollow = [bool(c.get_facecolor().size == 0) for c in ax.collections if len(c.get_offsets())]
    assert hollow == [k > 60 for k in range(120)]


def test_colour_blind_people_tell_the_classes_apart():
    """Every two colours, also for those who lack one kind of cones (Machado et al. 2009), differ, and from white."""
    seen_as = {
        "all cones": np.eye(3),
        "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    }
    coded = np.array([to_rgb(colour) for colour in (*charts.COLOURS, "#ffffff")])
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    for kind, matrix in seen_as.items():
        xyz = np.clip(linear @ np.transpose(matrix), 0, 1) @ to_xyz.T / (0.9505, 1, 1.089)
        x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29).T
        lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
        distance = np.linalg.norm(lab[:, None] - lab, axis=2) + 100 * np.eye(len(lab))
        assert distance.min() > 15, kind  # in CIELAB; 2 is just seen


def test_a_skeleton_moves_as_the_sequence():
    """Two joints; the second one rises by a tenth of a metre a frame, and the body is gone in frame 3."""
    sequence = np.zeros((6, 2, 2, 3))
    sequence[:, 0, 0] = 1.0, 1.0, 2.0
    sequence[:, 0, 1] = [(1.5, 1.0 + 0.1 * t, 2.0) for t in range(6)]
    sequence[3] = 0
    drawn = charts.moving_skeleton(sequence, np.array([0, 0]), np.array([1, 2]), "two & joints", fps=30, width=100, height=100)
    (values,) = re.findall(r'values="([^"]*)"', drawn)  # one path: the second person is never there
    poses = [list(map(int, re.findall(r"-?\d+", pose))) for pose in values.split(";")]
    assert len(poses) == 6 and poses[3] == [0, 0] and 'dur="0.20s"' in drawn and "two &amp; joints" in drawn
    there = [poses[t] for t in (0, 1, 2, 4, 5)]
    assert len({tuple(pose[:3]) for pose in there}) == 1  # only y of the second joint changes
    metre = (there[0][2] - there[0][0]) / 0.5
    assert [(pose[1] - pose[3]) / metre for pose in there] == pytest.approx([0, 0.1, 0.2, 0.4, 0.5], abs=2 / metre)
    assert all(0 <= value <= 1000 for pose in there for value in pose)
    with pytest.raises(ValueError, match="no body"):
        charts.moving_skeleton(np.zeros((3, 1, 2, 3)), None, np.array([1, 1]), "")
