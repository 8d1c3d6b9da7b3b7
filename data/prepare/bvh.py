"""BVH, the text format of motion capture: a hierarchy of joints and the channels of every frame, as positions of joints.

The conventions are those of Biovision's format: a joint's rotation is the product of its rotation channels in the order in which
they are listed, R = R_1 · R_2 · R_3 for column vectors, in degrees; position channels, on whatever joint, replace the OFFSET.
"""

import re
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from data.prepare import kinect
from data.prepare.skeleton_file import is_coordinate
from data.prepare.transforms import resampled, upright
from feeder.skeleton import joint_names
from feeder.units import UNITS

MOST_JOINTS = 1000
UNIT = UNITS["cm"]  # metres; what most files are in, though none says so
FAR = float(np.finfo(np.float32).max)  # from here on a number is none
FRAME_TIMES = 1e-4, 1.0  # seconds
_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)


@dataclass
class Hierarchy:
    """names: of the V joints, parents before children; an End Site is called after its parent, NAME_end. parents: (V,) int64, the
    root its own. ends: (V,) bool, End Sites. offsets: (V, 3). channels: of every joint [(kind 'position' or 'rotation', axis
    0 .. 2), ...]. frames, frame_time (seconds): of the motion. begin: number of the line of the first frame, from 0.
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
        """Frames of the file from one to the next at `target_fps`. A Frame Time is rounded: 0.0333333 s are 30 a second."""
        step = 1 / (self.frame_time * target_fps)
        whole = max(1, round(step))
        return whole if abs(step / whole - 1) < 1e-3 else step


def read_header(path):
    """The `Hierarchy` of a file, a path or one inside a zip; its frames are not read. Raises ValueError naming file and line."""
    return _read_hierarchy(path, _read_lines(path))


def read(path):
    """(joints (T, V, 3) in the unit of the file, End Sites included; `Hierarchy`) of a file. Raises as `read_header`."""
    lines = _read_lines(path)
    hierarchy = _read_hierarchy(path, lines)
    return positions(hierarchy, _read_values(path, lines, hierarchy)), hierarchy


def load(path, names, target_fps=30.0, up="y"):
    """Joints (T, V, 3) of a file in its unit, those with `names` (V,); those of Kinect v1 are found, see data.prepare.kinect.

    target_fps: frames are taken where they are, else between two of them, linearly. up: axis that points up in the file; it
    becomes y. Raises ValueError as `read`, or if a joint is missing.
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
    return resampled(upright(joints, up)[None], hierarchy.step(target_fps))[0]


def parents_among(hierarchy, names):
    """(len(names),) int64: of the joints with `names`, the nearest above that is one of them, else the joint itself."""
    chosen = [hierarchy.names.index(name) for name in names]
    nearest = []
    for joint in chosen:
        above = hierarchy.parents[joint]
        while above not in chosen and above != hierarchy.parents[above]:
            above = hierarchy.parents[above]
        nearest.append(chosen.index(above if above in chosen else joint))
    return np.array(nearest)


def positions(hierarchy, values):
    """Forward kinematics: (T, channels) of degrees and lengths -> (T, V, 3)."""
    joints = np.empty((len(values), len(hierarchy.names), 3))
    turns = [np.eye(3)] * len(hierarchy.names)  # of every joint, (T, 3, 3), in the world
    column = 0  # of the values: channels stand in the order of the joints
    for joint, (above, channels) in enumerate(zip(hierarchy.parents, hierarchy.channels, strict=True)):
        place, turn = np.tile(hierarchy.offsets[joint], (len(values), 1)), np.eye(3)
        for kind, axis in channels:
            if kind == "position":
                place[:, axis] = values[:, column]
            else:
                turn = turn @ _rotation(axis, np.radians(values[:, column]))
            column += 1
        if above == joint:  # the root
            joints[:, joint], turns[joint] = place, turn
        else:
            joints[:, joint] = joints[:, above] + (turns[above] @ place[..., None])[..., 0]
            turns[joint] = turns[above] @ turn
    return joints


def _rotation(axis, angle):
    """(T,) radians about x, y or z (0 .. 2) -> (T, 3, 3)."""
    turn = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[:, axis, axis] = 1
    turn[:, i, i] = turn[:, j, j] = np.cos(angle)
    turn[:, j, i] = np.sin(angle)
    turn[:, i, j] = -turn[:, j, i]
    return turn


# ---- the text -----------------------------------------------------------------------------------------------------------


def _read_lines(path):
    try:
        return path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not text, so no BVH file ({error.reason} at byte {error.start})") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged inside its zip ({error})") from error


class _Statements:
    """The words of a hierarchy, statement by statement: braces stand alone wherever they are written."""

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
        """`count` finite numbers."""
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
        raise ValueError(f"{path}: does not begin with HIERARCHY, so no BVH file")
    names, parents, ends, offsets, channels = [], [], [], [], []
    open_joints = []  # those whose brace is open, the innermost last
    while True:
        words = statements.next()
        keyword, above = words[0].upper(), open_joints[-1] if open_joints else None
        inside = bool(open_joints) and not ends[above]  # an End Site has no joints below it
        if keyword == "ROOT" and not names or keyword in ("JOINT", "END") and inside:
            name = f"{names[above]}_end" if keyword == "END" else " ".join(words[1:])
            while keyword == "END" and name in names:
                name += "_"
            if not name or not name.isprintable() or name in names:
                raise statements.error(f"the joint's name {name[:40]!r} is " + ("there already" if name in names else "no text"))
            if statements.next() != ["{"]:
                raise statements.error(f"no {{ after {name[:40]!r}")
            if len(names) == MOST_JOINTS:
                raise statements.error(f"more than {MOST_JOINTS} joints")
            parents.append(above if inside else 0)
            open_joints.append(len(names))
            names.append(name)
            ends.append(keyword == "END")
            offsets.append(None)
            channels.append([])
        elif keyword == "}" and open_joints:
            if offsets[open_joints.pop()] is None:
                raise statements.error(f"{names[above]!r} has no OFFSET")
        elif keyword == "OFFSET" and open_joints:
            offsets[above] = statements.numbers(words[1:], 3, "the three numbers of an OFFSET")
        elif keyword == "CHANNELS" and inside:
            channels[above] = _channels(statements, words[1:])
        elif keyword == "MOTION" and names and not open_joints:
            break
        else:
            hint = ""
            if keyword in ("MOTION", "ROOT") and names:
                hint = "; a brace is missing" if open_joints else "; files of one body are read"
            elif keyword in ("JOINT", "END") and open_joints:
                hint = "; an End Site has no joints below it"
            raise statements.error(f"{' '.join(words)[:40]!r} is not expected here{hint}")
    return Hierarchy(names, np.array(parents), np.array(ends), np.array(offsets), channels, *_motion(statements))


def _channels(statements, words):
    """[(kind, axis), ...] of the words after CHANNELS: their number, and as many names."""
    found = [_CHANNEL.fullmatch(word) for word in words[1:]]
    if not words or not words[0].isdecimal() or int(words[0]) != len(found):
        raise statements.error(f"{' '.join(words)[:60]!r} instead of the number of CHANNELS and as many names")
    for word, match in zip(words[1:], found, strict=True):
        if not match:
            raise statements.error(f"unknown channel {word[:40]!r}; known are Xposition to Zrotation")
    channels = [(match[2].lower(), "xyz".index(match[1].lower())) for match in found]
    if len(set(channels)) < len(channels):
        raise statements.error("a channel stands twice")
    return channels


def _motion(statements):
    """(frames, frame time, line of the first frame) of the two statements after MOTION."""
    words = " ".join(statements.next())
    count = re.fullmatch(r"Frames\s*:\s*(\d+)", words, re.IGNORECASE)
    if not count or not int(count[1]):
        raise statements.error(f"{words[:40]!r} instead of Frames: and how many there are")
    words = " ".join(statements.next())
    time = re.fullmatch(r"Frame\s*Time\s*:\s*(\S+)", words, re.IGNORECASE)
    seconds = statements.numbers([time[1] if time else words], 1, "Frame Time: and seconds")[0]
    if not FRAME_TIMES[0] <= seconds <= FRAME_TIMES[1]:
        raise statements.error(f"a Frame Time of {seconds:g} s; plausible are {FRAME_TIMES[0]:g} to {FRAME_TIMES[1]:g} s")
    return int(count[1]), seconds, statements.line


def _read_values(path, lines, hierarchy):
    """(T, channels) of the lines of frames."""
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
