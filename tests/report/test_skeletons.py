"""Drawn skeletons stand where the joints are, films last as long as the sequence."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from feeder import skeleton
from report import skeletons

NAMES, PARENTS = skeleton.joint_names("kinect_v2"), skeleton.parents("kinect_v2")


@pytest.fixture
def ax():
    return Figure().add_subplot()


@pytest.fixture
def dance():
    """dance(frames, bodies, joints): seeded (T, M, V, 3) metres, every joint on its own path."""

    def make(frames=20, bodies=2, joints=25):
        rng = np.random.default_rng(0)
        start, step = rng.uniform(-1, 1, (1, bodies, joints, 3)), rng.uniform(-0.02, 0.02, (1, bodies, joints, 3))
        return start + step * np.arange(frames)[:, None, None, None] + 2 * np.arange(bodies)[:, None, None] * (1, 0, 0)

    return make


def frames_of(path):
    """[(RGB picture (H, W, 3), milliseconds)] of a GIF that loops."""
    with Image.open(path) as gif:
        assert gif.info["loop"] == 0
        return [(np.asarray(frame.convert("RGB"), int), frame.info["duration"]) for frame in ImageSequence.Iterator(gif)]


def lines(body):
    """{(end, other end)} of what is drawn."""
    return {tuple(map(tuple, segment)) for segment in body.bones.get_segments()}


@pytest.mark.parametrize("layout", skeleton.LAYOUTS)
def test_every_bone_is_a_line_from_parent_to_child(ax, layout):
    names, parents = skeleton.joint_names(layout), skeleton.parents(layout)
    joints = np.random.default_rng(1).normal(size=(len(parents), 3))
    body = skeletons.Body(ax, len(parents), parents, skeletons.sides(names), person=1).move(joints)
    children = [child for child, parent in enumerate(parents) if child != parent]
    assert lines(body) == {(tuple(joints[parents[c], :2]), tuple(joints[c, :2])) for c in children}
    np.testing.assert_array_equal(body.dots.get_offsets(), joints[:, :2])
    light, middle, dark = skeletons.COLOURS[1]
    for i, child in enumerate(children):
        side = light if "left" in names[child] else dark if "right" in names[child] else middle
        assert to_hex(body.bones.get_colors()[i]) == side == to_hex(body.dots.get_facecolors()[child])


def test_bodies_move_vanish_and_return(ax, dance):
    sequence = dance(3, 1, 4)[:, 0]
    body = skeletons.Body(ax, 4, [0, 0, 1, 1]).move(sequence[0]).move(sequence[2])
    assert lines(body) == {(tuple(sequence[2, p, :2]), tuple(sequence[2, c, :2])) for p, c in ((0, 1), (1, 2), (1, 3))}
    visible = [all(artist.get_visible() for artist in body.move(x).artists) for x in (np.zeros((4, 3)), sequence[1])]
    assert visible == [False, True]
    assert lines(skeletons.Body(ax, 4).move(sequence[0])) == set()  # without a skeleton joints are dots


def test_sides_of_joint_names():
    left, middle, right = skeletons.LEFT, skeletons.MIDDLE, skeletons.RIGHT
    names = dict.fromkeys(("shoulder left", "LeftArm", "l_knee"), left) | dict.fromkeys(("knee.R", "RIGHT EYE", "r-toe"), right)
    names |= dict.fromkeys(("collar", "pelvis", "ROOT", "LUMBAR", "RIBS", "spine lower"), middle)
    assert dict(zip(names, skeletons.sides(names), strict=True)) == names


@pytest.mark.parametrize("layout", skeleton.LAYOUTS)
def test_limbs_of_known_skeletons(layout):
    """Spine and head, left arm, right arm, left leg, right leg, each from the body outwards."""
    names = skeleton.joint_names(layout)
    limbs = [[names[v] for v in limb] for limb in skeletons.limbs(names, skeleton.parents(layout))]
    last = {"coco17": ("wrist", "ankle"), "mediapipe33": ("thumb", "foot index")}
    ends = [("shoulder", "hip"), last.get(layout, ("hand", "foot"))]
    for which, side in ((1, "left"), (2, "right")):
        for at, (arm, leg) in zip((0, -1), ends, strict=True):
            assert limbs[which][at].startswith(arm) and limbs[which + 2][at] == f"{leg} {side}"
        assert all(name.endswith(side) for name in limbs[which] + limbs[which + 2])
    assert len(limbs) == 5 and sorted(sum(limbs, [])) == sorted(names)


def test_limbs_of_other_skeletons():
    names = "Hips LeftUpLeg LeftFoot LeftToes_End Spine RightForeArm RightHand RThumb Nub".split()
    assert skeletons.limbs(names, [0, 0, 1, 2, 0, 4, 5, 6, 7]) == [[0, 4], [5, 6, 7, 8], [1, 2, 3]]
    numbers = [f"joint {v}" for v in range(7)]
    assert skeletons.limbs(numbers, [1, 1, 1, 2, 2, 4, 5]) == [[0], [1], [2], [3], [4, 5, 6]]  # from one branching to the next
    assert skeletons.limbs(numbers) == [[v] for v in range(7)]


def test_turned():
    nose, head = np.array([0.3, 1.6, 2.8]), np.array([0.3, 1.6, 3.0])  # faces the camera at the origin
    turned = skeletons.turned
    np.testing.assert_array_equal(turned(nose), nose)
    assert turned(nose, "side")[0] > turned(head, "side")[0] and turned(nose, "side")[1] == 1.6
    assert turned([1.0, 2.0, 3.0], up="z")[1] == 3 and turned([1.0, 2.0, 3.0], up="-y")[1] == -2
    points = np.random.default_rng(2).normal(size=(5, 3))
    for view in skeletons.VIEWS:
        for up in skeletons.UP:  # no mirror image, no other size
            np.testing.assert_allclose(turned(points, view, up) @ turned(points, view, up).T, points @ points.T)


@pytest.mark.parametrize(("frames", "bodies", "panels"), [(40, 1, 10), (40, 3, 10), (1, 2, 1)])
def test_contact_sheet(dance, frames, bodies, panels):
    sequence, title = dance(frames, bodies), r"$\nonsense{ " + "very long " * 20  # which is no formula
    figure = skeletons.contact_sheet(sequence, PARENTS, title=title, fps=20, frames=np.arange(100, 100 + frames))
    figure.canvas.draw()
    axes = [ax for ax in figure.axes if ax.axison]
    assert len(axes) == panels and figure.texts[0].get_text() == title
    assert figure._suptitle.get_window_extent().width <= figure.bbox.width
    for ax, t in zip(axes, np.linspace(0, frames - 1, panels).round().astype(int), strict=True):
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


def test_absent_bodies_and_broken_coordinates_are_neither_drawn_nor_in_the_way(dance, tmp_path):
    sequence = dance(5) + 100  # far from the origin, at which an absent body would stand
    sequence[:, 1], sequence[1, 0, 2], sequence[0, 0, 2] = 0, np.nan, np.inf
    figure = skeletons.contact_sheet(sequence, PARENTS, skeletons.sides(NAMES))
    ax = figure.axes[0]
    assert 90 < ax.get_xlim()[0] < ax.get_xlim()[1] < 110
    assert [artist.get_visible() for artist in ax.collections] == [True, True, False, False]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["left", "right"]
    skeletons.animate(sequence, None, tmp_path / "a.gif")


@pytest.mark.parametrize("nobody", [np.zeros((5, 2, 25, 3)), np.full((5, 1, 3, 3), np.nan)])
def test_nobody_to_draw(nobody, tmp_path):
    with pytest.raises(ValueError, match="no body in the sequence"):
        skeletons.animate(nobody, None, tmp_path / "a.gif")


@pytest.mark.parametrize(("fps", "step"), [(30, 1), (7.5, 1), (60, 2), (120, 3)])
def test_a_gif_lasts_as_long_as_the_sequence(dance, tmp_path, fps, step):
    skeletons.animate(dance(31, 1, 5), [0, 0, 1, 2, 3], tmp_path / "a.gif", fps=fps)
    durations = [milliseconds for _, milliseconds in frames_of(tmp_path / "a.gif")]
    assert len(durations) == len(range(0, 31, step))
    assert min(durations) >= 20 and abs(sum(durations) - 31 / fps * 1000) <= 15


def test_a_gif_shows_who_is_there_where_he_is(dance, tmp_path):
    sequence = dance(6)
    sequence[:3, 1] = 0
    skeletons.animate(sequence, PARENTS, tmp_path / "a.gif")
    pictures = [picture[int(0.2 * len(picture)) : int(0.88 * len(picture))] for picture, _ in frames_of(tmp_path / "a.gif")]
    colours = [np.array([int(skeletons.COLOURS[i][1][k : k + 2], 16) for k in (1, 3, 5)]) for i in range(2)]
    first, second = ([np.abs(p - colour).max(axis=2) <= 12 for p in pictures] for colour in colours)
    assert all(mask.sum() > 300 for mask in first) and [bool(mask.sum() > 300) for mask in second] == [False] * 3 + [True] * 3
    for t in (0, 5):
        pixels, joints = np.argwhere(first[t])[:, ::-1], sequence[t, 0]
        assert np.ptp(pixels[:, 0]) / np.ptp(pixels[:, 1]) == pytest.approx(np.ptp(joints[:, 0]) / np.ptp(joints[:, 1]), rel=0.05)


def test_a_films_time_bar_fills_up(dance):
    """On a grey track, and as broad as the pictures' number says."""
    pictures = [np.asarray(picture).astype(int) for picture in skeletons.film(dance(20, 1, 5), title="name\nmodel")]
    blue, grey = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (skeletons.COLOURS[0][1], skeletons.GRID))
    row = round(0.19 * len(pictures[0]))
    done, left = ([(np.abs(p[row] - colour).max(axis=1) < 8).sum() for p in pictures] for colour in (blue, grey))
    whole = 0.85 * pictures[0].shape[1]
    np.testing.assert_allclose(done, whole * np.arange(1, 21) / 20, atol=3)
    np.testing.assert_allclose(np.add(done, left), whole, atol=4)


def test_an_mp4_is_made_of_the_gif(tmp_path, monkeypatch):
    """A stand-in for ffmpeg copies what it was given."""
    tool = tmp_path / "ffmpeg"
    tool.write_text("""#!/bin/sh
        while [ "$1" != -i ]; do shift; done
        in="$2"
        for last; do :; done
        [ "$last" != bad ] || { echo no room >&2; exit 1; }
        cat "$in" > "$last"
    """)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    (tmp_path / "a.gif").write_text("film")
    assert skeletons.has_ffmpeg()
    skeletons.save_mp4(tmp_path / "a.mp4", tmp_path / "a.gif")
    assert (tmp_path / "a.mp4").read_text() == "film"
    with pytest.raises(OSError, match="ffmpeg failed: no room"):
        skeletons.save_mp4("bad", tmp_path / "a.gif")
