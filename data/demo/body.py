"""An articulated body of 25 joints (Kinect v2, NTU order), posed from a few channels by inverse and forward kinematics.

A person's frame: x to their right, y up from the floor, z to their back (they face -z). Metres, radians.
Letters: T frames, V = 25 joints.
"""

from dataclasses import dataclass

import numpy as np

# 0-based joint numbers; pairs are (left, right)
BASE, MID, NECK, HEAD, CHEST = 0, 1, 2, 3, 20
SHOULDER, ELBOW, WRIST, HAND, TIP, THUMB = (4, 8), (5, 9), (6, 10), (7, 11), (21, 23), (22, 24)
HIP, KNEE, ANKLE, FOOT = (12, 16), (13, 17), (14, 18), (15, 19)
PAIRS = (SHOULDER, ELBOW, WRIST, HAND, TIP, THUMB, HIP, KNEE, ANKLE, FOOT)
NUM_JOINTS = 25

# bone lengths of a person 1.70 m tall, metres; `Build.random` draws them in this order
TRUNK = {"waist": 0.28, "back": 0.22, "neck": 0.07, "head": 0.13, "shoulder": 0.165, "hip": 0.09}
ARM = {"upper_arm": 0.27, "forearm": 0.24, "hand": 0.07, "tip": 0.08, "thumb": 0.05}
LENGTHS = TRUNK | ARM | {"thigh": 0.40, "shank": 0.39, "foot": 0.12}
ANKLE_HEIGHT = 0.08
HANGING = (0.23, -0.50, -0.04)  # right wrist of a hanging arm, from the chest joint

# channel -> value at rest; a position (3,) of a 1.70 m person or an angle (1,).
# root: pelvis shift; hand_*: wrist relative to the chest joint, in the chest's frame; foot_*: ankle shift. Angles: lean
# forward, tilt to the right, twist to the left, nod down, turn the head left; elbow: away from the trunk; wrist: bend of
# the hand towards the middle; toe: point the foot down.
POSITIONS = {
    "root": (0, 0, 0),
    "hand_l": (-HANGING[0], *HANGING[1:]),
    "hand_r": HANGING,
    "foot_l": (0, 0, 0),
    "foot_r": (0, 0, 0),
}
ANGLES = "lean tilt twist nod turn elbow_l elbow_r wrist_l wrist_r toe_l toe_r".split()
CHANNELS = POSITIONS | {angle: (0,) for angle in ANGLES}


@dataclass
class Build:
    """Body proportions of one performer: `scale` = height / 1.70 m, `lengths` {name of LENGTHS: metres}."""

    scale: float
    lengths: dict
    stance: float  # distance of each ankle from the middle, metres

    @classmethod
    def random(cls, rng):
        scale = rng.uniform(0.88, 1.13)
        lengths = {name: length * scale * np.clip(rng.normal(1, 0.05), 0.88, 1.12) for name, length in LENGTHS.items()}
        return cls(scale, lengths, scale * rng.uniform(0.08, 0.16))


def rotation(axis, angle):
    """Rotation matrices (T,3,3) by `angle` (T,) radians about axis 0, 1 or 2, right-handed."""
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.tile(np.eye(3), (len(angle), 1, 1))
    matrix[:, i, i] = matrix[:, j, j] = np.cos(angle)
    matrix[:, j, i] = np.sin(angle)
    matrix[:, i, j] = -matrix[:, j, i]
    return matrix


def turn(matrix, vector):
    """(T,3,3) applied to (3,) or (T,3) -> (T,3)."""
    return np.einsum("tij,tj->ti", matrix, np.broadcast_to(vector, (len(matrix), 3)))


def unit(vector):
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def two_bones(root, target, pole, upper, lower):
    """Middle and end joint (T,3) of a limb from `root` towards `target` (T,3), bent towards `pole` (T,3).

    If the target is out of reach, the end joint is on the straight line to it, so that both bones keep their lengths."""
    way = target - root
    distance = np.clip(np.linalg.norm(way, axis=-1, keepdims=True), 1.15 * abs(upper - lower) + 0.05, 0.998 * (upper + lower))
    way = unit(way)
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    bend = unit(pole - (pole * way).sum(-1, keepdims=True) * way)
    return root + along * way + np.sqrt(np.maximum(upper**2 - along**2, 0)) * bend, root + distance * way


def pose(body, channels):
    """Joints (T,25,3) of `body` in its frame from rendered `channels` {name: (T, size)}, see CHANNELS."""
    size, scale = body.lengths, body.scale
    flat = {name: values[:, 0] for name, values in channels.items() if values.shape[1] == 1}
    joints = np.empty((len(channels["root"]), NUM_JOINTS, 3))

    def spine(share):
        """Rotation (T,3,3) of the trunk at this share of its height."""
        lean = rotation(0, -(0.5 + 0.5 * share) * flat["lean"])
        return rotation(1, share * flat["twist"]) @ lean @ rotation(2, -share * flat["tilt"])

    waist, chest = spine(0.4), spine(1.0)
    head = chest @ rotation(1, flat["turn"]) @ rotation(0, -flat["nod"])
    standing = ANKLE_HEIGHT * scale + 0.993 * (size["thigh"] + size["shank"])
    joints[:, BASE] = channels["root"] * scale + (0, standing, 0)
    joints[:, MID] = joints[:, BASE] + turn(waist, (0, size["waist"], 0))
    joints[:, CHEST] = joints[:, MID] + turn(chest, (0, size["back"], 0))
    joints[:, NECK] = joints[:, CHEST] + turn(chest, (0, size["neck"], 0))
    joints[:, HEAD] = joints[:, NECK] + turn(head, (0, size["head"], -0.02 * scale))

    for side, sign, name in ((0, -1, "l"), (1, 1, "r")):
        shoulder, elbow, wrist, hand, tip, thumb, hip, knee, ankle, foot = (pair[side] for pair in PAIRS)
        joints[:, shoulder] = joints[:, CHEST] + turn(chest, (sign * size["shoulder"], -0.04 * scale, 0))
        target = joints[:, CHEST] + turn(chest, channels[f"hand_{name}"] * scale)
        spread = flat[f"elbow_{name}"]
        pole = turn(chest, np.stack([sign * (0.5 + spread), -0.8 + 0.5 * spread, 0.4 - 0.2 * spread], -1))
        arm = two_bones(joints[:, shoulder], target, pole, size["upper_arm"], size["forearm"])
        joints[:, elbow], joints[:, wrist] = arm
        forearm = unit(joints[:, wrist] - joints[:, elbow])
        fingers = unit(forearm + channels[f"wrist_{name}"] * turn(chest, (-sign, 0, -0.2)))
        sideways = unit(np.cross(fingers, turn(chest, (0, 0.3, 1.0))) * -sign + 1e-6)
        joints[:, hand] = joints[:, wrist] + size["hand"] * fingers
        joints[:, tip] = joints[:, hand] + size["tip"] * fingers
        joints[:, thumb] = joints[:, hand] + size["thumb"] * sideways

        joints[:, hip] = joints[:, BASE] + turn(spine(0.15), (sign * size["hip"], -0.01 * scale, 0))
        target = channels[f"foot_{name}"] * scale + (sign * body.stance, ANKLE_HEIGHT * scale, 0)
        forwards = np.broadcast_to((sign * 0.2, 0.1, -1.0), target.shape)
        leg = two_bones(joints[:, hip], target, forwards, size["thigh"], size["shank"])
        joints[:, knee], joints[:, ankle] = leg
        toe = 0.45 + flat[f"toe_{name}"]
        direction = unit(np.stack([np.full_like(toe, sign * 0.25), -np.sin(toe), -np.cos(toe)], -1))
        joints[:, foot] = joints[:, ankle] + size["foot"] * direction
    return joints


def mirrored(joints):
    """A motion (T,25,3) mirrored in the person's frame: x negated, left and right joints exchanged."""
    order = np.arange(NUM_JOINTS)
    for left, right in PAIRS:
        order[[left, right]] = right, left
    return joints[:, order] * (-1, 1, 1)
