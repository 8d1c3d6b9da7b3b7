"""A BVH writer for tests, and quaternions to compare rotations with."""

import numpy as np

POSITIONS = ("Xposition", "Yposition", "Zposition")
ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")


def text(joints, values, frame_time="0.0333333", newline="\n"):
    """Text of a BVH file. joints: [(name, parent number or None, offset, channels such as ['Xposition', 'Zrotation']), ...], of
    which those without children get an End Site one unit along y; values: (T, channels)."""
    lines = ["HIERARCHY"]

    def write(number, depth):
        name, parent, offset, channels = joints[number]
        indent = "\t" * depth
        lines.extend([f"{indent}{'ROOT' if parent is None else 'JOINT'} {name}", indent + "{"])
        lines.append(f"{indent}\tOFFSET {' '.join(map(repr, map(float, offset)))}")
        lines.append(f"{indent}\tCHANNELS {len(channels)} {' '.join(channels)}")
        below = [i for i, joint in enumerate(joints) if joint[1] == number]
        for child in below:
            write(child, depth + 1)
        if not below:
            lines.extend([f"{indent}\tEnd Site", indent + "\t{", f"{indent}\t\tOFFSET 0 1 0", indent + "\t}"])
        lines.append(indent + "}")

    write(0, 0)
    lines += ["MOTION", f"Frames: {len(values)}", f"Frame Time: {frame_time}"]
    lines += [" ".join(map(repr, map(float, row))) for row in values]
    return newline.join(lines) + newline


def rotation(order):
    return [f"{axis}rotation" for axis in order]


def quaternion(axis, degrees):
    half = np.radians(degrees) / 2
    return np.array([np.cos(half), *(np.sin(half) * np.eye(3)["XYZ".index(axis)])])


def times(p, q):
    """Hamilton's product."""
    a, u, b, v = p[0], p[1:], q[0], q[1:]
    return np.array([a * b - u @ v, *(a * v + b * u + np.cross(u, v))])


def turned(q, vector):
    """q v q*"""
    return times(times(q, np.array([0, *vector])), q * [1, -1, -1, -1])[1:]


LIMBS = (
    ("Arm", "Neck", (0.2, -0.05, 0)),
    ("ForeArm", "Arm", (0, -0.28, 0)),
    ("Hand", "ForeArm", (0, -0.25, 0)),
    ("UpLeg", "Hips", (0.1, 0, 0)),
    ("Leg", "UpLeg", (0, -0.45, 0)),
    ("Foot", "Leg", (0, -0.4, 0)),
    ("ToeBase", "Foot", (0, -0.05, 0.12)),
)


def person(frames, seed=0, scale=100.0, names=None):
    """(joints, values) of a simple moving person, 1.7 · scale tall; names: {usual name: another one}."""
    rng = np.random.default_rng(seed)
    where = {"Hips": None, "Spine": "Hips", "Neck": "Spine", "Head": "Neck"}
    offset = {"Hips": (0, 0, 0), "Spine": (0, 0.2, 0), "Neck": (0, 0.35, 0), "Head": (0, 0.1, 0)}
    for side, sign in (("Left", 1), ("Right", -1)):
        for name, above, place in LIMBS:
            where[side + name] = above if above in ("Neck", "Hips") else side + above
            offset[side + name] = (sign * place[0], *place[1:])
    order = list(where)
    joints = [
        (
            (names or {}).get(name, name),
            None if where[name] is None else order.index(where[name]),
            np.multiply(offset[name], scale),
            rotation("ZXY"),
        )
        for name in order
    ]
    joints[0][3][:0] = POSITIONS
    start = rng.uniform(-1, 1, 2) * scale
    values = 10 * np.sin(np.arange(frames)[:, None] / 5 + rng.uniform(0, 6, 3 * len(joints) + 3))
    values[:, :3] = [start[0], 0.95 * scale, start[1]] + rng.normal(0, 0.01, (frames, 3)).cumsum(0) * scale
    return joints, values
