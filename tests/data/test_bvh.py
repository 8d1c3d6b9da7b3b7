"""BVH files against independently computed poses, and damaged files; genuine files are in test_corpus.py."""

import numpy as np
import pytest

from data.prepare import bvh
from tests.data.bvh_text import ORDERS, POSITIONS, person, quaternion, rotation, text, times, turned


@pytest.fixture
def read(tmp_path):
    """read(text or bytes) -> (joints, `bvh.Hierarchy`)"""

    def motion(content):
        file = tmp_path / "a.bvh"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return bvh.read(file)

    return motion


@pytest.mark.parametrize("first", ORDERS)
@pytest.mark.parametrize("second", ORDERS)
def test_two_bones_by_quaternions(first, second, read):
    rng = np.random.default_rng(0)
    offset, bone, values = rng.normal(size=3), rng.normal(size=3), rng.uniform(-180, 180, (4, 9))
    joints = [("hip", None, offset, [*POSITIONS, *rotation(first)]), ("knee", 0, bone, rotation(second))]
    found, _ = read(text(joints, values))
    for frame, row in enumerate(values):
        q = [quaternion(axis, angle) for axis, angle in zip(first + second, row[3:], strict=True)]
        root, both = times(times(q[0], q[1]), q[2]), times(times(q[3], q[4]), q[5])
        knee = row[:3] + turned(root, bone)
        expected = [row[:3], knee, knee + turned(times(root, both), [0, 1, 0])]
        np.testing.assert_allclose(found[frame], expected, atol=1e-12)


def test_positions_on_any_joint_replace_the_offset(read):
    joints = [
        ("root", None, (1, 2, 3), ["Yposition", "Zrotation"]),
        ("six", 0, (9, 9, 9), [*POSITIONS, *rotation("ZXY")]),
        ("one", 1, (4, 5, 6), ["Zrotation", "Zposition"]),  # a rotation in front does not turn the joint's own position
    ]
    found = read(text(joints, [[20, 90, 7, 8, 0, 90, 0, 0, 45, -6]]))[0][0]
    root = np.array([1, 20, 3])
    six = root + [-8, 7, 0]  # a quarter turn about z: (x, y) -> (-y, x)
    one = six + [-4, -5, -6]  # half a turn
    end = one + np.array([-np.sin(np.radians(225)), np.cos(np.radians(225)), 0])
    np.testing.assert_allclose(found, [root, six, one, end], atol=1e-12)


def test_a_position_between_rotations_is_of_the_joint(read):
    """Whatever the order of channels, the position is where the joint is in its parent, and the rotations act below it."""
    joints = [("root", None, (0, 0, 0), ["Zrotation", "Xposition", "Yposition", "Zposition", "Xrotation"])]
    found = read(text(joints, [[90, 1, 2, 3, 90]]))[0][0]
    end = turned(times(quaternion("Z", 90), quaternion("X", 90)), [0, 1, 0])
    np.testing.assert_allclose(found, [[1, 2, 3], end + [1, 2, 3]], atol=1e-12)


def test_names_tree_and_lengths_of_bones_come_back(read):
    """Of a tree with branches and End Sites; whatever the angles, bones keep their length."""
    joints, values = person(5)
    values[:, 3:] *= 40
    positions, skeleton = read(text(joints, values))
    at = {name: number for number, name in enumerate(skeleton.names)}
    assert positions.shape == (5, len(joints) + sum(skeleton.ends), 3)
    np.testing.assert_array_equal(positions[:, 0], values[:, :3])
    for name, above, offset, _ in joints[1:]:
        parent = skeleton.parents[at[name]]
        assert skeleton.names[parent] == joints[above][0]
        length = np.linalg.norm(positions[:, at[name]] - positions[:, parent], axis=-1)
        np.testing.assert_allclose(length, np.linalg.norm(offset), rtol=1e-9)
    assert all(skeleton.names[skeleton.parents[end]] + "_end" == skeleton.names[end] for end in np.flatnonzero(skeleton.ends))


def test_forms_in_which_files_come(read):
    joints, values = person(3)
    plain = text(joints, values)
    expected, _ = read(plain)
    for other in (
        "\ufeff" + plain,
        plain.replace("\n", "\r\n") + "\r\n \r\n",
        plain.replace("\n{", " {").replace("\t", "  "),
        plain.replace("End Site", "end site").replace("ROOT", "Root").replace("Xrotation", "XROTATION"),
        plain.replace("Frames: ", "Frames:\t").replace("Frame Time: ", "Frame Time:"),
        plain.replace("Hips", "Bip01 Pelvis"),
    ):
        np.testing.assert_array_equal(read(other)[0], expected)
    assert read(plain.replace("Hips", "Bip01 Pelvis"))[1].names[0] == "Bip01 Pelvis"


@pytest.mark.parametrize("time, step", [("0.0333333", 1), ("0.033333", 1), ("0.008333", 4), ("0.016667", 2), ("0.04", 1 / 1.2)])
def test_frames_a_second(time, step, tmp_path):
    """At 30 a second: frames that are there are taken, others lie between their neighbours."""
    joints, values = person(41)
    (tmp_path / "a.bvh").write_text(text(joints, values, time))
    names = [joint[0] for joint in joints]
    every, hierarchy = bvh.read(tmp_path / "a.bvh")
    every = every[:, [hierarchy.names.index(name) for name in names]]
    found = bvh.load(tmp_path / "a.bvh", names)
    assert len(found) == int(40 / step + 1e-9) + 1
    for i, pose in enumerate(found):
        at = i * step
        low, high = every[int(at + 1e-9)], every[min(40, int(at + 1e-9) + 1)]
        np.testing.assert_allclose(pose, low + (at - int(at + 1e-9)) * (high - low), atol=1e-9)


def damaged():
    good = text(*person(3))
    lines = good.splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1

    def row(i, line):
        return "\n".join([*lines[: number + i], line, *lines[number + i + 1 :]])

    yield "", "ends before its MOTION"
    yield "hello\n" + good, "does not begin with HIERARCHY"
    yield b"\xff\xfe\x00\x01" * 50, "not a BVH file, since not text"
    yield good[: len(good) // 5], "ends before its MOTION"
    yield good + lines[-1] + "\n", "4 frames, Frames: says 3"
    yield row(1, lines[number + 1] + " 1"), f"line {number + 2}: 58 values, the hierarchy has 57 channels"
    yield row(1, "nan " + lines[number + 1].split(" ", 1)[1]), f"line {number + 2}: value 1, 'nan', is not a finite number"
    yield row(1, "1e300 " + lines[number + 1].split(" ", 1)[1]), "is not a finite number"
    yield row(2, "1,5 " + lines[number + 2].split(" ", 1)[1]), f"line {number + 3}: value 1, '1,5', is not a finite number"
    yield good.replace("Frames: 3", "Frames: 99999999999999"), "3 frames, Frames: says 99999999999999"
    yield good.replace("Frames: 3", "Frames: 0"), "instead of Frames: and their number"
    yield good.replace("0.0333333", "0"), "a Frame Time of 0 s"
    yield good.replace("0.0333333", "nan"), "instead of Frame Time: and seconds"
    yield good.replace("\t}\n", "", 1), "is not expected here; a brace is missing"
    yield good.replace("}\nMOTION", "}\n}\nMOTION"), "'}' is not expected here"
    yield good.replace("{\n", "", 1), "no { after 'Hips'"
    yield good.replace("CHANNELS 3", "CHANNELS 2", 1), "instead of the number of CHANNELS and as many names"
    yield good.replace("Yrotation", "Wrotation", 1), "unknown channel 'Wrotation'"
    yield good.replace("Zrotation Xrotation", "Xrotation Xrotation", 1), "a channel is repeated"
    yield good.replace("OFFSET 0.0 20.0 0.0", "OFFSET 0.0 20.0"), "instead of the three numbers of an OFFSET"
    yield good.replace("OFFSET 0.0 20.0 0.0", "OFFSET 0.0 inf 0.0"), "instead of the three numbers of an OFFSET"
    yield good.replace("\tOFFSET 0.0 20.0 0.0\n", ""), "'Spine' has no OFFSET"
    yield good.replace("JOINT Spine", "JOINT Hips"), "'Hips' is repeated"
    yield good.replace("JOINT Spine", "JOINT"), "is not printable"
    yield good.replace("JOINT Spine", "ROOT Spine"), "'ROOT Spine' is not expected here"
    yield good.replace("ROOT Hips", "JOINT Hips"), "'JOINT Hips' is not expected here"
    yield good.replace("MOTION", "ROOT other\n{\nOFFSET 0 0 0\n}\nMOTION"), "only files of one body can be read"
    yield good.replace("\tOFFSET 0 1 0", "\tOFFSET 0 1 0\nJOINT x\n{\nOFFSET 1 1 1\n}"), "'JOINT x' is not expected here"
    deep = "".join(f"JOINT j{i}\n{{\nOFFSET 0 0 0\n" for i in range(100_000))
    yield "HIERARCHY\nROOT r\n{\nOFFSET 0 0 0\n" + deep + "}" * 100_001 + "\nMOTION\n", "more than 1000 joints"
    yield "HIERARCHY\n" + "{" * 1_000_000, "'{' is not expected here"


@pytest.mark.parametrize("content, reason", list(damaged()), ids=lambda x: x[:40] if isinstance(x, str) and "\n" not in x else "")
def test_damaged_files_are_one_line(content, reason, read):
    with pytest.raises(ValueError) as error:
        read(content)
    message = str(error.value)
    assert reason in message and "a.bvh: " in message and message.isprintable(), message


def test_random_damage(read):
    """A byte changed, cut out or doubled, anywhere: read, or refused in one line."""
    rng, good = np.random.default_rng(0), text(*person(2)).encode()
    for _ in range(300):
        at, kind = rng.integers(len(good)), rng.integers(3)
        content = good[:at] + (bytes([rng.integers(256)]), b"", good[at : at + 9] * 2)[kind] + good[at + 1 :]
        try:
            positions, _ = read(content)
        except ValueError as error:
            assert "a.bvh: " in str(error) and str(error).isprintable()
        else:
            assert np.isfinite(positions).all()
