"""BVH, the text format of motion capture: a joint hierarchy and the channel values of every frame -> joint positions.

A joint's rotation is the product of its rotation channels in their order, R = R_1 · R_2 · R_3 for column vectors, in degrees;
position channels of any joint replace its OFFSET.
"""

import re
from dataclasses import dataclass

import numpy as np

from data.prepare import kinect
from data.prepare.parallel import read_bytes
from data.prepare.skeleton_file import is_coordinate
from data.prepare.transforms import resample, to_y_up
from feeder.skeleton import joint_names
from feeder.units import UNITS

MOST_JOINTS = 1000
UNIT = UNITS["cm"]  # of most files; the format has no field for it
FAR = float(np.finfo(np.float32).max)  # larger values are not finite in float32
FRAME_TIMES = 1e-4, 1.0  # seconds
_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)


@dataclass
class Hierarchy:
    """The HIERARCHY of a file, and the head of its MOTION.

    names: V joints, parents before children; an End Site is named after its parent, NAME_end. parents: (V,) int64, the root is
    its own parent. ends: (V,) bool, whether it is an End Site. offsets: (V, 3). channels: for each joint [('position' or
    'rotation', axis 0 .. 2), ...]. frames: T. frame_time: seconds. begin: line of the first frame, from 0.
    """

    names: list
    parents: np.ndarray
    ends: np.ndarray
    offsets: np.ndarray
    channels: list
    frames: int
    frame_time: float
    begin: int

    def step(self, target_fps):
        """Frames of the file per frame at `target_fps`, a whole number if nearly so: 0.0333333 s is meant as 1/30 s."""
        step = 1 / (self.frame_time * target_fps)
        whole = max(1, round(step))
        return whole if abs(step / whole - 1) < 1e-3 else step


def read_header(path):
    """The `Hierarchy` of a file (a path, perhaps inside a zip), without its frames. Raises ValueError naming file and line."""
    return _read_hierarchy(path, _read_lines(path))


def read(path):
    """(joints (T, V, 3) in the file's unit, End Sites included; `Hierarchy`) of a file. Raises ValueError as `read_header`."""
    lines = _read_lines(path)
    hierarchy = _read_hierarchy(path, lines)
    return positions(hierarchy, _read_values(path, lines, hierarchy)), hierarchy


def load(path, names, target_fps=30.0, up="y"):
    """The joints `names` (V,) of a file, (T, V, 3) in its unit, resampled to target_fps. Kinect v1's are found by their usual
    names, see data.prepare.kinect.

    up: axis that points up in the file; z is rotated to y. Raises ValueError as `read`, or if a joint is missing.
    """
    joints, hierarchy = read(path)
    names = list(map(str, names))
    if set(names) <= set(hierarchy.names):
        joints = joints[:, [hierarchy.names.index(name) for name in names]]
    elif names == list(joint_names(kinect.LAYOUT)):
        joints = kinect.kinect_v1(joints, hierarchy.names, hierarchy.parents, path)
    else:
        missing = next(name for name in names if name not in hierarchy.names)
        raise ValueError(f"{path}: has no joint {missing!r}; it has {', '.join(hierarchy.names)[:300]}")
    return resample(to_y_up(joints, up)[None], hierarchy.step(target_fps))[0]


def parents_among(hierarchy, names):
    """(len(names),) int64: the parent of each joint in a skeleton of the joints `names` only, its nearest ancestor among them; a
    joint without one is its own parent."""
    chosen = [hierarchy.names.index(name) for name in names]
    nearest = []
    for joint in chosen:
        ancestor = hierarchy.parents[joint]
        while ancestor not in chosen and ancestor != hierarchy.parents[ancestor]:
            ancestor = hierarchy.parents[ancestor]
        nearest.append(chosen.index(ancestor if ancestor in chosen else joint))
    return np.array(nearest)


def positions(hierarchy, values):
    """Forward kinematics: channel values (T, channels) in degrees and the file's unit -> joint positions (T, V, 3)."""
    joints = np.empty((len(values), len(hierarchy.names), 3))
    rotations = [np.eye(3)] * len(hierarchy.names)  # global rotation of each joint, (T, 3, 3)
    column = 0  # of the values, whose channels are in the order of the joints
    for joint, (parent, channels) in enumerate(zip(hierarchy.parents, hierarchy.channels, strict=True)):
        position, rotation = np.tile(hierarchy.offsets[joint], (len(values), 1)), np.eye(3)  # relative to the parent
        for kind, axis in channels:
            if kind == "position":
                position[:, axis] = values[:, column]
            else:
                rotation = rotation @ _rotation(axis, np.radians(values[:, column]))
            column += 1
        if parent == joint:  # the root
            joints[:, joint], rotations[joint] = position, rotation
        else:
            joints[:, joint] = joints[:, parent] + (rotations[parent] @ position[..., None])[..., 0]
            rotations[joint] = rotations[parent] @ rotation
    return joints


def _rotation(axis, angle):
    """Rotations (T, 3, 3) by an angle (T,) in radians about axis x, y or z (0 .. 2)."""
    matrix = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[:, axis, axis] = 1
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


# ---- the text -----------------------------------------------------------------------------------------------------------


def _read_lines(path):
    content = read_bytes(path)
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a BVH file, since not text ({error.reason} at byte {error.start})") from error


class _Statements:
    """The statements of a hierarchy, as lists of words; a brace is a statement of its own wherever it is in a line."""

    def __init__(self, path, lines):
        self.path, self.line = path, 0
        self._all = (
            (number, part.split()) for number, line in enumerate(lines, 1) for part in re.split(r"([{}])", line) if part.strip()
        )

    def next(self):
        self.line, words = next(self._all, (None, None))
        if words is None:
            raise ValueError(f"{self.path}: ends before its MOTION; a brace or the rest of the file is missing")
        return words

    def error(self, text):
        return ValueError(f"{self.path}: line {self.line}: {text}")

    def numbers(self, words, count, what):
        """The words as `count` finite numbers. Raises ValueError, which calls them `what`."""
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) != count or not np.isfinite(values).all():
            raise self.error(f"{' '.join(words)[:40]!r} instead of {what}")
        return values


def _read_hierarchy(path, lines):
    statements = _Statements(path, lines)
    if [word.upper() for word in statements.next()] != ["HIERARCHY"]:
        raise ValueError(f"{path}: not a BVH file, since it does not begin with HIERARCHY")
    names, parents, ends, offsets, channels = [], [], [], [], []
    open_joints = []  # joints whose brace is not closed yet, the innermost last
    while True:
        words = statements.next()
        keyword, current = words[0].upper(), open_joints[-1] if open_joints else None
        in_joint = bool(open_joints) and not ends[current]  # and not in an End Site, which has no children
        if keyword == "ROOT" and not names or keyword in ("JOINT", "END") and in_joint:
            name = f"{names[current]}_end" if keyword == "END" else " ".join(words[1:])
            while keyword == "END" and name in names:
                name += "_"
            if not name or not name.isprintable() or name in names:
                raise statements.error(f"the joint name {name[:40]!r} is " + ("repeated" if name in names else "not printable"))
            if statements.next() != ["{"]:
                raise statements.error(f"no {{ after {name[:40]!r}")
            if len(names) == MOST_JOINTS:
                raise statements.error(f"more than {MOST_JOINTS} joints")
            parents.append(current if in_joint else 0)
            open_joints.append(len(names))
            names.append(name)
            ends.append(keyword == "END")
            offsets.append(None)
            channels.append([])
        elif keyword == "}" and open_joints:
            if offsets[open_joints.pop()] is None:
                raise statements.error(f"{names[current]!r} has no OFFSET")
        elif keyword == "OFFSET" and open_joints:
            offsets[current] = statements.numbers(words[1:], 3, "the three numbers of an OFFSET")
        elif keyword == "CHANNELS" and in_joint:
            channels[current] = _channels(statements, words[1:])
        elif keyword == "MOTION" and names and not open_joints:
            break
        else:
            hint = ""
            if keyword in ("MOTION", "ROOT") and names:
                hint = "; a brace is missing" if open_joints else "; only files of one body can be read"
            elif keyword in ("JOINT", "END") and open_joints:
                hint = "; an End Site has no children"
            raise statements.error(f"{' '.join(words)[:40]!r} is not expected here{hint}")
    return Hierarchy(names, np.array(parents), np.array(ends), np.array(offsets), channels, *_motion(statements))


def _channels(statements, words):
    """[('position' or 'rotation', axis), ...] of the words after CHANNELS: a number, and as many names."""
    found = [_CHANNEL.fullmatch(word) for word in words[1:]]
    if not words or not words[0].isdecimal() or int(words[0]) != len(found):
        raise statements.error(f"{' '.join(words)[:60]!r} instead of the number of CHANNELS and as many names")
    for word, match in zip(words[1:], found, strict=True):
        if not match:
            raise statements.error(f"unknown channel {word[:40]!r}; known are Xposition to Zrotation")
    channels = [(match[2].lower(), "xyz".index(match[1].lower())) for match in found]
    if len(set(channels)) < len(channels):
        raise statements.error("a channel is repeated")
    return channels


def _motion(statements):
    """(frames, frame time, line of the first frame) of the two statements after MOTION."""
    words = " ".join(statements.next())
    count = re.fullmatch(r"Frames\s*:\s*(\d+)", words, re.IGNORECASE)
    if not count or not int(count[1]):
        raise statements.error(f"{words[:40]!r} instead of Frames: and their number")
    words = " ".join(statements.next())
    time = re.fullmatch(r"Frame\s*Time\s*:\s*(\S+)", words, re.IGNORECASE)
    seconds = statements.numbers([time[1] if time else words], 1, "Frame Time: and seconds")[0]
    if not FRAME_TIMES[0] <= seconds <= FRAME_TIMES[1]:
        raise statements.error(f"a Frame Time of {seconds:g} s, not {FRAME_TIMES[0]:g} to {FRAME_TIMES[1]:g} s")
    return int(count[1]), seconds, statements.line


def _read_values(path, lines, hierarchy):
    """The channel values (T, channels)."""
    width = sum(map(len, hierarchy.channels))
    rows = [(number, line.split()) for number, line in enumerate(lines[hierarchy.begin :], hierarchy.begin + 1)]
    rows = [(number, words) for number, words in rows if words]
    for number, words in rows:
        if len(words) != width:
            raise ValueError(f"{path}: line {number}: {len(words)} values, the hierarchy has {width} channels")
    if len(rows) != hierarchy.frames:
        raise ValueError(f"{path}: {len(rows)} frames, Frames: says {hierarchy.frames}")
    try:
        values = np.array([words for _, words in rows], np.float64)
    except ValueError:
        values = None
    if values is None or not (np.abs(values) < FAR).all():
        every = ((number, place, word) for number, words in rows for place, word in enumerate(words, 1))
        number, place, word = next(each for each in every if not is_coordinate(each[2], FAR))
        raise ValueError(f"{path}: line {number}: value {place}, {word[:40]!r}, is not a finite number")
    return values
