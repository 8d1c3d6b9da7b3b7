"""Map other skeletons to the 20 joints of Kinect v1 by joint names; joints without a counterpart are computed from others.

The names are those of CMU (three conversions to BVH), LaFAN1, 100STYLE, Bandai-Namco, Mixamo and Kinect v2.
"""

import numpy as np

from feeder.skeleton import joint_names, split_side

LAYOUT = "kinect_v1"

# joint of Kinect v1 -> its names elsewhere; the first one is used that exists and is not used by an earlier row. Names are
# compared in lower case, without a prefix that ends in a colon, and without - _ . and blanks.
MIDDLE = {"spine base": "spinebase hips hip pelvis root waist", "neck": "neck lowerneck", "head": "head"}
MIDDLE |= {"spine mid": "spinemid", "head end": "headtopend headend"}
SIDES = {  # the same for the left and right side, without the word or letter of the side
    "shoulder": "upperarm uparm arm humerus shldr shoulder",
    "elbow": "lowerarm forearm radius elbow",
    "wrist": "wrist hand",
    "hand": "hand handmiddle1 fingerbase handindex1",  # a finger's first joint if "hand" is used for the wrist
    "hip": "upperleg upleg thigh femur hip",
    "knee": "lowerleg leg shin tibia calf knee",
    "ankle": "ankle foot",
    "foot": "toebase toes toe foot footend",
}
HAND = 0.3  # wrist to hand by elbow to wrist: 0.077 m by 0.236 m in NW-UCLA, 0.058 m by 0.224 m in IntelliRehabDS
HEAD = 0.2  # head joint to middle of the head by spine base to neck; in motion capture the head joint is the base of the skull


def find_joints(names):
    """{joint of Kinect v1, or 'head end': its number among `names` (V,)} for those that are found."""
    numbers = {}  # (side, rest of the name) -> number of the first such joint
    for number, name in enumerate(names):
        numbers.setdefault(split_side(name), number)
    wanted = [(joint, "", words) for joint, words in MIDDLE.items()]
    for side, word in (("l", "left"), ("r", "right")):
        wanted += [(f"{joint} {word}", side, words) for joint, words in SIDES.items()]
    result = {}
    for joint, side, words in wanted:
        candidates = (numbers.get((side, word)) for word in words.split())
        free = next((number for number in candidates if number is not None and number not in result.values()), None)
        if free is not None:
            result[joint] = free
    return result


def kinect_v1(joints, names, parents, where):
    """(..., V, 3) of a skeleton with these joint names and parents (V,) -> (..., 20, 3) in the layout kinect_v1.

    Skeletons without a joint "spine mid" are not of a Kinect: the middle of the spine is then half-way along the joints from hips
    to neck, and the head is half-way between the head joint and its end or, without one, HEAD trunk lengths from the head joint
    in the direction from the neck. A missing hand is HAND forearm lengths beyond the wrist.
    Raises ValueError, beginning with `where`, if another joint is missing.
    """
    at = find_joints(names)
    places = {joint: joints[..., number, :] for joint, number in at.items()}
    if "spine mid" not in at and {"spine base", "neck", "head"} <= at.keys():
        places["spine mid"] = _half_way(joints, _chain(at["spine base"], at["neck"], parents, where))
        places["head"] = _head(places)
    for side in ("left", "right"):
        if f"hand {side}" not in places and {f"elbow {side}", f"wrist {side}"} <= places.keys():
            elbow, wrist = places[f"elbow {side}"], places[f"wrist {side}"]
            places[f"hand {side}"] = wrist + HAND * (wrist - elbow)
    if missing := [joint for joint in joint_names(LAYOUT) if joint not in places]:
        first = min(missing, key=lambda joint: joint.startswith(("spine mid", "hand")))  # rather a joint that is not computed
        raise ValueError(f"{where}: no joint that could be Kinect's {first!r} among {', '.join(map(str, names))[:300]}")
    return np.stack([places[joint] for joint in joint_names(LAYOUT)], axis=-2)


def _chain(base, end, parents, where):
    """Numbers of the joints from `base` to its descendant `end`."""
    chain = [end]
    while chain[-1] != base:
        chain.append(int(parents[chain[-1]]))
        if chain[-1] == chain[-2]:
            raise ValueError(f"{where}: its neck is not a descendant of its hips")
    return chain[::-1]


def _half_way(joints, chain):
    """(..., 3): the point half-way along the line through these joints."""
    points = joints[..., chain, :]
    steps = np.linalg.norm(np.diff(points, axis=-2), axis=-1)
    left = steps.sum(axis=-1, keepdims=True) / 2 - (steps.cumsum(axis=-1) - steps)  # distance to go at the beginning of each step
    share = np.clip(left / np.where(steps > 0, steps, 1), 0, 1) * (steps > 0)
    return points[..., 0, :] + (share[..., None] * np.diff(points, axis=-2)).sum(axis=-2)


def _head(places):
    """(..., 3): the middle of the head of a motion capture skeleton."""
    end = places.get("head end", places["head"])
    if np.linalg.norm(end - places["head"], axis=-1).max(initial=0) > 0:
        return (places["head"] + end) / 2
    trunk = np.linalg.norm(places["neck"] - places["spine base"], axis=-1, keepdims=True)
    up = places["head"] - places["neck"]
    length = np.linalg.norm(up, axis=-1, keepdims=True)
    return places["head"] + HEAD * trunk * up / np.where(length > 0, length, 1)
