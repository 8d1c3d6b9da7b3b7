"""Reader of NTU RGB+D `.skeleton` text files.

frame count
per frame: body count
  per body: body id and 9 more fields / joint count / one line of 12 fields per joint, the first three
  x y z in metres
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

NUM_JOINTS = 25
BODY_FIELDS, JOINT_FIELDS = 10, 12  # fields per line
FAR = 1e6  # metres; larger coordinates cannot be measurements, and their squares would overflow


@dataclass
class Body:
    """All joints recorded under one body id.

    id: as written in the file; ids exceed 2^53 and would collide as floats.
    start: frame in which the body first appears, counted over the frames with a body.
    joints: (T, V, 3) float32, metres. Appearance t is treated as frame start + t, so that gaps in which a body is lost are
    removed, as in the published arrays.
    """

    id: str
    start: int
    joints: np.ndarray

    @property
    def end(self):
        """Its last frame."""
        return self.start + len(self.joints) - 1


def read_skeleton(path):
    """(number of frames with a body, [Body in order of first appearance]) of one file; (0, []) for one without any body.

    Raises ValueError as `read_frames`.
    """
    num_bodies, ids, joints = read_frames(path)
    num_frames, row = 0, 0
    first, rows = {}, {}  # by body id: its first frame; its rows in `joints`
    for count in filter(None, num_bodies):
        for body_id in ids[row : row + count]:
            first.setdefault(body_id, num_frames)
            rows.setdefault(body_id, []).append(row)
            row += 1
        num_frames += 1
    return num_frames, [Body(body_id, start, joints[rows[body_id]]) for body_id, start in first.items()]


def read_frames(path):
    """(number of bodies in each frame [T], body ids [B], joints (B, V, 3) float32, metres) of one file; LF or CRLF.

    T includes frames without a body. Fields after x y z are not checked. Raises ValueError naming file and line: empty, binary or
    truncated file, wrong number of fields or joints, coordinates that are not finite numbers below FAR, lines after the last
    frame.
    """
    lines = _SkeletonLines(path)
    num_bodies, ids = [], []
    tokens, begin = [], []  # coordinates as text; line before the first joint of each body
    for _ in range(lines.integer("frame count")):
        num_bodies.append(lines.integer("body count"))
        for _ in range(num_bodies[-1]):
            ids.append(lines.body_id())
            if (joints := lines.integer("joint count")) != NUM_JOINTS:
                lines.fail(f"{joints} joints instead of {NUM_JOINTS}")
            begin.append(lines.position)
            lines.coordinates(tokens)
    lines.finish()
    return num_bodies, ids, _numbers(lines, tokens, begin)


def _numbers(lines, tokens, begin):
    """The coordinates as (B, V, 3) float32."""
    try:
        values = np.array(list(map(float, tokens)), dtype=np.float64)
        if (np.abs(values) < FAR).all():
            return values.astype(np.float32).reshape(-1, NUM_JOINTS, 3)
    except ValueError:
        pass
    wrong = next(i for i, token in enumerate(tokens) if not is_coordinate(token))
    body, joint = divmod(wrong // 3, NUM_JOINTS)
    lines.position = begin[body] + joint + 1
    lines.fail(f"coordinate {_short(tokens[wrong])} is not a finite number below {FAR:,.0f} m")


def read_text(path, kind="text"):
    """The bytes of a text file, without trailing blanks. Raises ValueError naming the file if it is empty or binary."""
    text = Path(path).read_bytes().rstrip()
    if not text:
        raise ValueError(f"{path}: the file is empty")
    if b"\0" in text:
        raise ValueError(f"{path}: the file is binary, not {kind}")
    return text


def is_coordinate(word, far=FAR):
    """Whether a string is a number whose absolute value is below `far`."""
    try:
        return abs(float(word)) < far
    except ValueError:
        return False


def _short(text):
    text = text.decode("ascii", "replace").strip()
    return repr(text if len(text) <= 40 else text[:37] + "...")


class _SkeletonLines:
    """The lines of a file in order, with checks of what they hold; position: number of lines read so far."""

    def __init__(self, path):
        self.path, self.position = path, 0
        self.lines = read_text(path, ".skeleton text").split(b"\n")

    def fail(self, reason):
        raise ValueError(f"{self.path}: line {self.position}: {reason}")

    def take(self, what):
        if self.position == len(self.lines):
            self.fail(f"the file ends where {what} should follow; it is truncated or its frame count is wrong")
        self.position += 1
        return self.lines[self.position - 1]

    def integer(self, what):
        line = self.take(f"a {what}").strip()
        if not line.isdigit() or len(line) > 20:
            self.fail(f"{_short(line)} instead of a {what}")
        return int(line)

    def body_id(self):
        fields = self.take("a body").split()
        if len(fields) != BODY_FIELDS:
            self.fail(f"{len(fields)} fields instead of the {BODY_FIELDS} of a body")
        if not fields[0].isdigit():
            self.fail(f"body id {_short(fields[0])} is not a whole number")
        return fields[0].decode()

    def coordinates(self, tokens):
        """Append x y z of the next NUM_JOINTS lines to `tokens`; this is the inner loop of reading."""
        begin = self.position
        for line in self.lines[begin : begin + NUM_JOINTS]:
            self.position += 1
            fields = line.split()
            if len(fields) != JOINT_FIELDS:
                self.fail(f"{len(fields)} fields instead of the {JOINT_FIELDS} of a joint")
            tokens += fields[:3]
        if self.position < begin + NUM_JOINTS:
            self.take("a joint")  # raises: the file ends here

    def finish(self):
        if self.position < len(self.lines):
            self.position += 1
            self.fail("lines follow the last frame; the frame count is wrong")
