"""Joint layouts: names, parents and sides of the V joints."""

import re

import numpy as np

_KINECT = (
    "spine base, spine mid, neck, head, "
    "shoulder left, elbow left, wrist left, hand left, shoulder right, elbow right, wrist right, hand right, "
    "hip left, knee left, ankle left, foot left, hip right, knee right, ankle right, foot right, "
    "spine shoulder, hand tip left, thumb left, hand tip right, thumb right"
).split(", ")
_COCO = (
    "nose, eye left, eye right, ear left, ear right, "
    "shoulder left, shoulder right, elbow left, elbow right, wrist left, wrist right, "
    "hip left, hip right, knee left, knee right, ankle left, ankle right"
).split(", ")
_MEDIAPIPE = (
    "nose, eye inner left, eye left, eye outer left, eye inner right, eye right, eye outer right, ear left, ear right, "
    "mouth left, mouth right, shoulder left, shoulder right, elbow left, elbow right, wrist left, wrist right, "
    "pinky left, pinky right, index left, index right, thumb left, thumb right, hip left, hip right, knee left, knee right, "
    "ankle left, ankle right, heel left, heel right, foot index left, foot index right"
).split(", ")
LAYOUTS = {  # names of the joints, and the parent of each, 0-based; the root is its own parent
    # as in published work, the parent of a hand tip is the thumb
    "kinect_v2": (tuple(_KINECT), (1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 20, 22, 7, 24, 11)),
    # the same joints without the last five; "neck" is the centre of the shoulders and the root
    "kinect_v1": (tuple(_KINECT[:20]), (1, 2, 2, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18)),
    # the 17 keypoints of COCO, which have no joint on the spine: the nose is the root of limbs and face
    "coco17": (tuple(_COCO), (0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14)),
    # the 33 landmarks of MediaPipe's pose: the same root
    "mediapipe33": (
        tuple(_MEDIAPIPE),
        (0, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0, 0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16, 11, 12, 23, 24, 25, 26, 27, 28, 29, 30),
    ),
}
KINECTS = ("kinect_v2", "kinect_v1")
# words of a name: by case (LHipJoint: L, Hip, Joint), separators and digits; a letter with a number is one (the vertebra L5)
_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\sA-Za-z\d_.-]+")
# l or r before a bone without a separator, as in Acclaim's skeletons (CMU, HDM05)
_ACCLAIM = re.compile(
    r"([lr])((?:clavicle|collar|shoulder|humerus|elbow|radius|wrist|hand|fingers|thumb|hip|femur|thigh|knee|tibia|ankle|foot|toes).*)"
)


def layout_of(num_joints, layouts=LAYOUTS):
    """The first of the layouts that has so many joints, or ''."""
    return next((layout for layout in layouts if len(LAYOUTS[layout][0]) == num_joints), "")


def joint_names(layout):
    """Names of the V joints of `layout`, a tuple of strings."""
    return _lookup(layout)[0]


def parents(layout):
    """(V,) int64: the parent of each joint; the root is its own, so its bone is zero."""
    return np.array(_lookup(layout)[1])


def parents_of(arrays, num_joints):
    """(V,) int64: parents from an npz's array `parents`, else from its `layout`. Raises ValueError if neither fits num_joints."""
    if "parents" in arrays:
        return tree(arrays["parents"], num_joints)
    layout = str(arrays.get("layout", "kinect_v2"))
    wanted = "bones need the layout of the joints (feeder/skeleton.py) or an array 'parents'"
    if not layout:
        raise ValueError(f"the bones of its {num_joints} joints are not known; {wanted}")
    if len(above := parents(layout)) != num_joints:
        raise ValueError(f"{num_joints} joints, its layout {layout!r} has {len(above)}; {wanted}")
    return above


def joint_names_of(arrays, num_joints):
    """V names from an npz's `layout`; without layout and parents, those of the 25 joints of Kinect v2, as of the published npz,
    which say nothing. None if not known."""
    layouts = [str(arrays["layout"])] if "layout" in arrays else [] if "parents" in arrays else ["kinect_v2"]
    layout = layout_of(num_joints, [layout for layout in layouts if layout in LAYOUTS])
    return list(joint_names(layout)) if layout else None


def split_side(name):
    """(side, rest) of a joint's name: side 'l', 'r' or '', by a word left, right, l or r; rest in lower case, without separators
    and without a prefix that ends in a colon."""
    name = str(name).rpartition(":")[2]
    words = [word.lower() for word in _WORD.findall(name)]
    at = next((i for i, word in enumerate(words) if word in ("left", "right", "l", "r")), None)
    if at is not None and len(words) > 1:
        return words[at][0], "".join(words[:at] + words[at + 1 :])
    if match := _ACCLAIM.fullmatch(name.lower()):
        return match.groups()
    return "", "".join(words)


def opposite_joints(names, parents=None):
    """(V,) int64: for each joint the one on the other side of the body, by the sides in their names; a joint in the middle is its
    own. parents: (V,) or None, to check that opposite joints have opposite parents. Raises ValueError naming the joint for a side
    without a counterpart, two joints of one name, and if no joint has a side.
    """
    place, opposite = {}, np.arange(len(names))
    sides = [split_side(name) for name in names]
    for v, key in enumerate(sides):
        if key[0] and place.setdefault(key, v) != v:
            raise ValueError(f"joints {names[place[key]]!r} and {names[v]!r} have the same name")
    if not place:
        raise ValueError(f"no name of a joint says left or right: {', '.join(map(str, names[:5]))}, ...")
    for (side, rest), v in place.items():
        other = "r" if side == "l" else "l"
        if (other, rest) not in place:
            raise ValueError(f"joint {names[v]!r} has no counterpart on the other side of the body")
        opposite[v] = place[other, rest]
    if parents is not None and (wrong := np.flatnonzero(parents[opposite] != opposite[parents])).size:
        joint, above, other, above_other = (
            names[v[wrong[0]]] for v in (np.arange(len(names)), parents, opposite, parents[opposite])
        )
        raise ValueError(f"the parent of {joint!r} is {above!r}, but that of {other!r} is {above_other!r}")
    return opposite


def up_axis(layout, joints, how=None):
    """The axis of joints (..., 3) that points upwards: '-y' for 2D keypoints, whose y is a row of the image, unless they were
    turned when they were prepared (how: of an npz's metadata); else 'y'."""
    of_picture = layout in ("coco17", "mediapipe33") and not joints[..., 2].any()
    return "-y" if of_picture and (how or {}).get("up", "y") == "y" else "y"


def tree(above, num_joints):
    """Checked parents, (V,) int64. Raises ValueError unless every joint leads to a root, which is its own parent."""
    above = np.asarray(above)
    if above.shape != (num_joints,) or above.dtype.kind not in "iu" or above.min() < 0 or above.max() >= num_joints:
        raise ValueError(
            f"parents is not one joint 0..{num_joints - 1} for each of the {num_joints} joints; the root is its own parent"
        )
    above = above.astype(np.int64)
    reached = above
    for _ in range(num_joints):
        reached = above[reached]
    lost = np.flatnonzero(above[reached] != reached)
    if len(lost):
        raise ValueError(f"parents leads joint {lost[0]} around in a circle; the root has to be its own parent")
    return above


def _lookup(layout):
    if layout not in LAYOUTS:
        raise ValueError(f"unknown joint layout {layout!r}: known are {', '.join(LAYOUTS)}")
    return LAYOUTS[layout]
