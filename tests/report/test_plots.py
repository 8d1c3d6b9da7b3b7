import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from feeder import skeleton
from report import plots


@pytest.fixture
def ax():
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure.add_subplot()


@pytest.fixture
def dance():
    """dance(frames, bodies, joints): seeded (T, M, V, 3) metres, every joint on its own path."""

    def make(frames=20, bodies=2, joints=25, seed=0):
        rng = np.random.default_rng(seed)
        start, step = rng.uniform(-1, 1, (1, bodies, joints, 3)), rng.uniform(-0.02, 0.02, (1, bodies, joints, 3))
        return start + step * np.arange(frames)[:, None, None, None] + 2 * np.arange(bodies)[:, None, None] * (1, 0, 0)

    return make


def lines(body):
    """{(end, other end)} of what is drawn, as the artist holds it."""
    return {tuple(map(tuple, segment)) for segment in body.bones.get_segments()}


@pytest.mark.parametrize("layout", skeleton.LAYOUTS)
def test_every_bone_is_a_line_from_parent_to_child(ax, layout):
    names, parents = skeleton.joint_names(layout), skeleton.parents(layout)
    joints = np.random.default_rng(1).normal(size=(len(parents), 3))
    body = plots.draw_skeleton(ax, joints, parents, plots.sides(names), person=1)
    expected = {(tuple(joints[p, :2]), tuple(joints[c, :2])) for c, p in enumerate(parents) if c != p}
    assert lines(body) == expected and len(body.bones.get_segments()) == len(parents) - 1
    np.testing.assert_array_equal(body.dots.get_offsets(), joints[:, :2])
    for i, child in enumerate(c for c, p in enumerate(parents) if c != p):
        light, middle, dark = plots.COLOURS[1]
        side = light if "left" in names[child] else dark if "right" in names[child] else middle
        assert to_hex(body.bones.get_colors()[i]) == side == to_hex(body.dots.get_facecolors()[child])


def test_bodies_move_vanish_and_return(ax, dance):
    sequence = dance(3, 1, 4)[:, 0]
    body = plots.draw_skeleton(ax, sequence[0], [0, 0, 1, 1])
    body.move(sequence[2])
    assert lines(body) == {(tuple(sequence[2, p, :2]), tuple(sequence[2, c, :2])) for p, c in ((0, 1), (1, 2), (1, 3))}
    assert all(artist.get_visible() for artist in body.artists)
    body.move(np.zeros((4, 3)))
    assert not any(artist.get_visible() for artist in body.artists)
    assert all(artist.get_visible() for artist in body.move(sequence[1]).artists)


def test_without_a_layout_joints_are_dots(ax, dance):
    body = plots.draw_skeleton(ax, dance(1, 1, 46)[0, 0])
    assert len(body.bones.get_segments()) == 0 and len(body.dots.get_offsets()) == 46


@pytest.mark.parametrize("parents", [[0, 0], [0, 0, 3], [-1, 0, 0], [[0, 0, 0]]])
def test_parents_that_do_not_fit(ax, parents):
    with pytest.raises(ValueError, match=r"needs one of 0..2 for each of 3 joints"):
        plots.draw_skeleton(ax, np.ones((3, 3)), parents)


def test_sides_that_do_not_fit(ax):
    with pytest.raises(ValueError, match=r"side has shape \(2,\) for 3 joints"):
        plots.draw_skeleton(ax, np.ones((3, 3)), side=[0, 1])


def test_sides_of_joint_names():
    left, middle, right = plots.LEFT, plots.MIDDLE, plots.RIGHT
    names = {
        "shoulder left": left,
        "LeftArm": left,
        "l_knee": left,
        "knee.R": right,
        "RIGHT EYE": right,
        "r-toe": right,
        "collar": middle,
        "pelvis": middle,
        "root": middle,
        "spine lower": middle,
    }
    assert dict(zip(names, plots.sides(names), strict=True)) == names


def test_turned():
    nose, head = np.array([0.3, 1.6, 2.8]), np.array([0.3, 1.6, 3.0])  # faces the camera at the origin
    np.testing.assert_array_equal(plots.turned(nose), nose)
    assert plots.turned(nose, "side")[0] > plots.turned(head, "side")[0] and plots.turned(nose, "side")[1] == 1.6
    assert plots.turned([1.0, 2.0, 3.0], up="z")[1] == 3 and plots.turned([1.0, 2.0, 3.0], up="-y")[1] == -2
    rng = np.random.default_rng(2)
    points = rng.normal(size=(5, 3))
    for view in plots.VIEWS:
        for up in plots.UP:
            turned = plots.turned(points, view, up)
            np.testing.assert_allclose(turned @ turned.T, points @ points.T)


@pytest.mark.parametrize(("frames", "bodies", "panels"), [(40, 1, 10), (40, 3, 10), (4, 1, 4), (1, 2, 1)])
def test_contact_sheet(dance, frames, bodies, panels):
    sequence = dance(frames, bodies)
    parents = skeleton.parents("kinect_v2")
    figure = plots.contact_sheet(sequence, parents, title="who · what", fps=20, frames=np.arange(100, 100 + frames))
    figure.canvas.draw()
    axes = [ax for ax in figure.axes if ax.axison]
    assert len(axes) == panels and figure._suptitle.get_text() == "who · what"
    shown = np.linspace(0, frames - 1, panels).round().astype(int)
    for ax, t in zip(axes, shown, strict=True):
        assert ax.get_title() == f"frame {100 + t} · {(100 + t) / 20:.2f} s"
        assert ax.get_aspect() == 1 and ax.get_xlim() == axes[0].get_xlim() and ax.get_ylim() == axes[0].get_ylim()
        drawn = [dots.get_offsets() for dots in ax.collections if len(dots.get_offsets()) == 25]
        np.testing.assert_array_equal(drawn, sequence[t, :, :, :2])
        for values, (low, high) in zip(np.moveaxis(sequence, -1, 0), (ax.get_xlim(), ax.get_ylim()), strict=False):
            assert low < values.min() and values.max() < high
    for a, b in zip(axes, axes[1:], strict=False):  # panels stand apart
        assert not a.get_window_extent().shrunk(0.99, 0.99).overlaps(b.get_window_extent())
    legend = [text.get_text() for text in figure.legends[0].get_texts()] if figure.legends else []
    assert legend == ([f"body {i + 1}" for i in range(bodies)] if bodies > 1 else [])


def test_absent_bodies_are_neither_drawn_nor_in_the_way(dance):
    sequence = dance(5) + 100  # far from the origin, at which an absent body would stand
    sequence[:, 1] = 0
    figure = plots.contact_sheet(sequence, skeleton.parents("kinect_v2"), plots.sides(skeleton.joint_names("kinect_v2")))
    ax = figure.axes[0]
    assert ax.get_xlim()[0] > 90 and [artist.get_visible() for artist in ax.collections] == [True, True, False, False]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "right"]


def test_what_is_not_finite_is_not_drawn(dance, tmp_path):
    sequence = dance(3, 1, 5)
    expected = np.delete(sequence[:, 0], 2, axis=1)
    sequence[1, 0, 2] = np.nan
    sequence[0, 0, 2], sequence[2, 0, 2] = np.inf, -np.inf
    ax = plots.contact_sheet(sequence, [0, 0, 1, 2, 3]).axes[0]
    assert ax.get_xlim()[0] < expected[..., 0].min() and ax.get_xlim()[1] < expected[..., 0].max() + 1
    plots.animate(sequence, None, tmp_path / "a.gif")


@pytest.mark.parametrize("shape", [(5, 25, 3), (5, 1, 25, 2), (5,)])
def test_shapes_that_cannot_be_drawn(shape):
    with pytest.raises(ValueError, match="has to be \\(T, M, V, 3\\)"):
        plots.contact_sheet(np.ones(shape))


@pytest.mark.parametrize("sequence", [np.zeros((5, 2, 25, 3)), np.full((5, 1, 3, 3), np.nan), np.zeros((0, 1, 3, 3))])
def test_nobody_to_draw(sequence, tmp_path):
    with pytest.raises(ValueError, match="no body in the sequence"):
        plots.animate(sequence, None, tmp_path / "a.gif")


def test_titles_are_made_to_fit_and_are_not_formulas(dance):
    figure = plots.contact_sheet(dance(1, 1), title=r"$\nonsense{ " + "very long " * 8)
    figure.canvas.draw()
    assert figure._suptitle.get_window_extent().width <= figure.bbox.width


@pytest.mark.parametrize(("fps", "step"), [(30, 1), (25, 1), (7.5, 1), (60, 2), (120, 3)])
def test_gif_has_every_frame_and_its_duration(dance, tmp_path, fps, step):
    plots.animate(dance(31, 1), skeleton.parents("kinect_v2"), tmp_path / "a.gif", fps=fps)
    with Image.open(tmp_path / "a.gif") as gif:
        durations = []
        for i in range(gif.n_frames):
            gif.seek(i)
            durations.append(gif.info["duration"])
        assert gif.n_frames == len(range(0, 31, step)) and gif.info["loop"] == 0
    assert min(durations) >= 20 and abs(sum(durations) - 31 / fps * 1000) <= 15


def test_gif_shows_who_is_there_where_he_is(dance, tmp_path):
    sequence = dance(6)
    sequence[:3, 1] = 0
    parents = skeleton.parents("kinect_v2")
    plots.animate(sequence, parents, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as gif:
        pictures = []
        for i in range(6):
            gif.seek(i)
            pictures.append(np.asarray(gif.convert("RGB")).astype(int))
    first, second = (np.array([int(plots.COLOURS[i][1][k : k + 2], 16) for k in (1, 3, 5)]) for i in range(2))
    count = np.array([[(np.abs(p - colour).max(axis=2) <= 8).sum() for colour in (first, second)] for p in pictures])
    assert (count[:, 0] > 300).all() and (count[:3, 1] == count[0, 1]).all() and (count[3:, 1] > count[0, 1] + 300).all()
    assert (pictures[0][0, 0] == 255).all() and (pictures[5][0, 0] == 255).all()
    where = [np.argwhere(np.abs(p[: int(0.88 * len(p))] - first).max(axis=2) <= 8)[:, ::-1] for p in (pictures[0], pictures[5])]
    seen = np.concatenate([sequence[:, 0], sequence[3:, 1]])[..., :2].reshape(-1, 2)
    across, up = np.ptp(seen, axis=0)
    for pixels, joints in zip(where, (sequence[0, 0], sequence[5, 0]), strict=True):
        assert np.ptp(pixels[:, 0]) / np.ptp(pixels[:, 1]) == pytest.approx(np.ptp(joints[:, 0]) / np.ptp(joints[:, 1]), rel=0.05)


def test_neither_pyplot_nor_a_screen_is_needed(tmp_path):
    code = (
        "import sys; from report import plots; import numpy as np\n"
        f"x = np.ones((2, 1, 3, 3)); plots.animate(x, None, {str(tmp_path / 'a.gif')!r}); plots.contact_sheet(x)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
