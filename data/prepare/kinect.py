"""The 20 joints of Kinect v1 out of the joints of other skeletons, found by their names.

Names are those of the skeletons that people meet: CMU's (in its three conversions), LaFAN1's, 100STYLE's, Bandai-Namco's,
Mixamo's, and Kinect v2's. Not every skeleton has a counterpart of every joint; how those are derived stands beside the tables.
"""

import re

import numpy as np

from feeder.skeleton import joint_names

LAYOUT = "kinect_v1"

# joint of Kinect v1 -> what it may be called: the first that is there and is not taken by a joint above it in the table counts.
# Names are compared in small letters, without what is before a colon, and without -, _, . and blanks
MIDDLE = {"spine base": "spinebase hips hip pelvis root waist", "neck": "neck lowerneck", "head": "head"}
MIDDLE |= {"spine mid": "spinemid", "head end": "headtopend headend"}
SIDES = {  # the same without left, right, l or r in front or r and l behind
    "shoulder": "upperarm uparm arm humerus shldr shoulder",
    "elbow": "lowerarm forearm radius elbow",
    "wrist": "wrist hand",
    "hand": "hand handmiddle1 fingerbase handindex1",  # of the hand, if there is a wrist; else the first joint of a finger
    "hip": "upperleg upleg thigh femur hip",
    "knee": "lowerleg leg shin tibia calf knee",
    "ankle": "ankle foot",
    "foot": "toebase toes toe foot footend",
}
HAND = 0.3  # of the forearm; Kinect v1 has 0.077 m of 0.236 m on NW-UCLA, Kinect v2 0.058 m of 0.224 m on IntelliRehabDS
HEAD = 0.2  # of the way from the base of the spine to the neck; the joint of motion capture is where the skull begins


def _plain(name):
    """('', 'l' or 'r'; the rest) of a joint's name in its plainest form."""
    name = re.sub(r".*:", "", name.strip())
    for form in (
        r"(?i:(?P<s>l|r)(?:eft|ight)[ _.-]?)(?P<rest>.+)",
        r"(?P<s>[lLrR])(?:[ _.-]|(?=[A-Z]))(?P<rest>.+)",
        r"(?P<rest>.+)[ _.-](?i:(?P<s>l|r)(?:eft|ight)?)",
        r"(?P<rest>.+[a-z])(?P<s>[LR])(?:eft|ight)",
        r"(?P<s>[lr])(?P<rest>(?:humerus|radius|wrist|hand|femur|tibia|foot|toes|fingers)\w*)",
    ):
        if match := re.fullmatch(form, name):
            return match["s"].lower(), re.sub(r"[ _.-]", "", match["rest"]).lower()
    return "", re.sub(r"[ _.-]", "", name).lower()


def find_joints(names):
    """{joint of Kinect v1, or 'head end': number of the joint of this name} as far as the tables find them among V names."""
    numbers = {}  # (side, plain name) -> number of the first joint called so
    for number, name in enumerate(names):
        numbers.setdefault(_plain(str(name)), number)
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
    """(..., V, 3) of a skeleton with these names and parents (V,) -> (..., 20, 3), the layout kinect_v1.

    What a skeleton lacks is derived. Without a joint "spine mid", which Kinects alone have, the middle of the spine lies half-way
    along the joints between its base and the neck, and the head half-way between its joint and its end, or without an end beyond
    its joint, as seen from the neck, by 0.2 of the trunk. A hand lies beyond the wrist by 0.3 forearms. Raises ValueError
    beginning with `where` if another joint is missing.
    """
    at = find_joints(names)
    # joints that the skeleton has are taken, the others are derived from these
    places = {joint: joints[..., number, :] for joint, number in at.items()}
    if "spine mid" not in at and {"spine base", "neck", "head"} <= at.keys():
        places["spine mid"] = _half_way(joints, _chain(at["spine base"], at["neck"], parents, where))
        places["head"] = _head(places)
    for side in ("left", "right"):
        if f"hand {side}" not in places and {f"elbow {side}", f"wrist {side}"} <= places.keys():
            elbow, wrist = places[f"elbow {side}"], places[f"wrist {side}"]
            places[f"hand {side}"] = wrist + HAND * (wrist - elbow)
    if missing := [joint for joint in joint_names(LAYOUT) if joint not in places]:
        first = min(missing, key=lambda joint: joint.startswith(("spine mid", "hand")))  # these are derived, of others
        raise ValueError(f"{where}: no joint that could be Kinect's {first!r} among {', '.join(map(str, names))[:300]}")
    return np.stack([places[joint] for joint in joint_names(LAYOUT)], axis=-2)


def _chain(base, end, parents, where):
    """Numbers of the joints from `base` to `end`, one of those below it."""
    chain = [end]
    while chain[-1] != base:
        chain.append(int(parents[chain[-1]]))
        if chain[-1] == chain[-2]:
            raise ValueError(f"{where}: its neck does not hang on the base of its spine")
    return chain[::-1]


def _half_way(joints, chain):
    """(..., 3): the point that halves the way along these joints."""
    points = joints[..., chain, :]
    steps = np.linalg.norm(np.diff(points, axis=-2), axis=-1)
    left = steps.sum(axis=-1, keepdims=True) / 2 - (steps.cumsum(axis=-1) - steps)  # of the half, at the beginning of each step
    share = np.clip(left / np.where(steps > 0, steps, 1), 0, 1) * (steps > 0)
    return points[..., 0, :] + (share[..., None] * np.diff(points, axis=-2)).sum(axis=-2)


def _head(places):
    """(..., 3): the middle of the head of a skeleton of motion capture."""
    end = places.get("head end", places["head"])
    if np.linalg.norm(end - places["head"], axis=-1).max(initial=0) > 0:
        return (places["head"] + end) / 2
    trunk = np.linalg.norm(places["neck"] - places["spine base"], axis=-1, keepdims=True)
    up = places["head"] - places["neck"]
    length = np.linalg.norm(up, axis=-1, keepdims=True)
    return places["head"] + HEAD * trunk * up / np.where(length > 0, length, 1)
