"""Joint layouts: what the V joints of an array are called and how they hang together."""

import numpy as np

_KINECT_V2_JOINTS = (
    "spine base", "spine mid", "neck", "head",
    "shoulder left", "elbow left", "wrist left", "hand left",
    "shoulder right", "elbow right", "wrist right", "hand right",
    "hip left", "knee left", "ankle left", "foot left",
    "hip right", "knee right", "ankle right", "foot right",
    "spine shoulder", "hand tip left", "thumb left", "hand tip right", "thumb right",
)  # fmt: skip
# parent of every joint, 0-based; the root is its own parent. As in published work, a hand tip hangs on the thumb.
_KINECT_V2_PARENTS = (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11)
# Kinect v1 has the same joints without the last five; "neck" is the centre of the shoulders and the root
_KINECT_V1_PARENTS = (1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18)

LAYOUTS = {
    "kinect_v2": (_KINECT_V2_JOINTS, _KINECT_V2_PARENTS),
    "kinect_v1": (_KINECT_V2_JOINTS[:20], _KINECT_V1_PARENTS),
}


def joint_names(layout):
    """Names of the V joints of `layout`, a tuple of strings."""
    return _lookup(layout)[0]


def parents(layout):
    """(V,) int64: the joint each joint hangs on; the root names itself, so its bone is zero."""
    return np.array(_lookup(layout)[1])


def _lookup(layout):
    if layout not in LAYOUTS:
        raise ValueError(f"unknown joint layout {layout!r}: known are {', '.join(LAYOUTS)}")
    return LAYOUTS[layout]
