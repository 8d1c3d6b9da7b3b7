"""A depth sensor's recording of a scene: camera views, noise, flaws of real recordings, and `.skeleton` files.

Letters: P people, T frames, V = 25 joints. Metres in the sensor's frame: x sideways, y up, z away from it.
"""

from dataclasses import dataclass

import numpy as np

from data.demo.body import ANKLE, ELBOW, FOOT, HAND, KNEE, MID, NUM_JOINTS, THUMB, TIP, WRIST, rotation

CAMERA_ANGLE = {1: 0.0, 2: -np.pi / 4, 3: np.pi / 4}  # around the vertical, as in NTU RGB+D
CAMERA_NOISE = {1: 0.005, 2: 0.004, 3: 0.006}  # standard deviation of the jitter, metres
JOINT_NOISE = np.ones(NUM_JOINTS)
for joints, factor in ((ELBOW, 1.2), (WRIST, 1.6), (HAND, 2.0), (TIP, 2.6), (THUMB, 2.6), (KNEE, 1.3), (ANKLE, 1.8), (FOOT, 2.2)):
    JOINT_NOISE[list(joints)] = factor
LIMBS = np.flatnonzero(JOINT_NOISE > 1)

# share of the files with each flaw
CASES = {"glitch": 0.20, "tracking loss": 0.06, "late detection": 0.05, "id change": 0.05, "short ghost": 0.05}
CASES |= {"wide ghost": 0.05, "crlf": 0.10}
FIRST_ID = 72057594037927936  # ids of the real release lie above 2^56


@dataclass
class Track:
    """One body id: joints (T,V,3) and tracking state (T,V) of all frames, recorded in those that are `present` (T,)."""

    body_id: int
    joints: np.ndarray
    state: np.ndarray
    present: np.ndarray


def view(scene, camera, distance, height, tilt):
    """Scene coordinates (...,3), floor at y = 0, in the frame of a camera at `distance` from the middle of the scene."""
    turned = scene @ rotation(1, np.array([-CAMERA_ANGLE[camera]]))[0].T
    return (turned + (0, -height, 0)) @ rotation(0, np.array([tilt]))[0].T + (0, 0, distance)


def correlated(rng, shape, keep):
    """Unit-variance noise of `shape` (T, ...) with correlation `keep` between consecutive frames."""
    noise = rng.normal(size=shape)
    for t in range(1, len(noise)):
        noise[t] = keep * noise[t - 1] + np.sqrt(1 - keep**2) * noise[t]
    return noise


def occlusion(people):
    """How much each joint is hidden behind somebody's trunk, 0 to 1: (P,T,V)."""
    hidden = np.zeros(people.shape[:3])
    for trunk in people[:, :, MID]:
        x, z = people[..., 0] - trunk[:, None, 0], people[..., 2] - trunk[:, None, 2]
        hidden = np.maximum(hidden, np.exp(-((x / 0.16) ** 2)) / (1 + np.exp(np.clip(-(z - 0.10) / 0.03, -50, 50))))
    hidden[..., np.setdiff1d(np.arange(NUM_JOINTS), LIMBS)] *= 0.3
    return hidden


def sense_bodies(people, camera, rng):
    """Tracks of `people` (P,T,V,3) with jitter and, for hidden joints, stronger jitter and slow drift."""
    tracks = []
    for number, (joints, hidden) in enumerate(zip(people, occlusion(people), strict=True)):
        jitter = CAMERA_NOISE[camera] * JOINT_NOISE * (1 + 2.5 * hidden)
        noise = jitter[..., None] * correlated(rng, joints.shape, 0.8)
        noise += (0.01 + 0.06 * hidden[..., None] * (JOINT_NOISE[:, None] > 1)) * correlated(rng, joints.shape, 0.95)
        body_id = FIRST_ID + 200000 * number + int(rng.integers(1, 40000))  # leaves room for disturb's ids
        tracks.append(Track(body_id, joints + noise, np.where(hidden > 0.5, 1, 2), np.ones(len(joints), bool)))
    return tracks


def disturb(tracks, cases, rng):
    """The tracks with these CASES applied."""
    tracks = list(tracks)
    frames = len(tracks[0].present)
    one = tracks[int(rng.integers(len(tracks)))]

    def appear(track):
        tracks.insert(int(rng.integers(len(tracks) + 1)), track)

    if "glitch" in cases:  # single joints jump for a moment
        for _ in range(rng.integers(1, 5)):
            begin, joint = rng.integers(frames), rng.choice(LIMBS)
            one.joints[begin : begin + rng.integers(1, 5), joint] += rng.normal(0, 0.15, 3)
    if "tracking loss" in cases:  # the body vanishes and returns under its id
        begin = rng.integers(5, frames - 12)
        one.present[begin : begin + rng.integers(3, 10)] = False
    if "late detection" in cases:  # nobody is found at first
        for track in tracks:
            track.present[: rng.integers(2, 7)] = False
    if "id change" in cases:  # the same person under a new id
        cut = int(rng.integers(15, frames - 14))
        appear(Track(one.body_id + 50000, one.joints, one.state, one.present & (np.arange(frames) >= cut)))
        one.present = one.present & (np.arange(frames) < cut - rng.integers(0, 3))
    if "short ghost" in cases:  # a crumpled body for at most 11 frames
        begin, length = rng.integers(frames - 11), rng.integers(2, 12)
        ghost = one.joints.mean(0) * (1, 0.8, 1) + rng.normal(0, (0.3, 0.1, 0.3)) + rng.normal(0, 0.08, one.joints.shape)
        present = (np.arange(frames) >= begin) & (np.arange(frames) < begin + length)
        appear(Track(one.body_id + 100000, ghost, np.ones_like(one.state), present))
    if "wide ghost" in cases:  # furniture: wider than .8 of its height in nearly all frames
        shape = rng.uniform(-1, 1, (NUM_JOINTS, 3)) * (0.55, 0.28, 0.2)
        shape[:2, 0], shape[2:4, 1] = (-0.55, 0.55), (-0.28, 0.28)
        place = one.joints[0, MID] + (rng.choice((-0.9, 0.9)), -0.4, rng.uniform(0.2, 0.6))
        ghost = place + shape + 0.02 * correlated(rng, one.joints.shape, 0.7)
        appear(Track(one.body_id + 150000, ghost, np.ones_like(one.state), np.arange(frames) >= rng.integers(frames // 3)))
    return tracks


# colour and depth pixels of the joint, its orientation (unknown) and its tracking state follow x, y, z
JOINT_LINE = "%.6f %.6f %.6f %d %d %d %d 0 0 0 0 %d\n"
BODY_LINE = f"%d 0 1 1 1 1 0 0 0 2\n{NUM_JOINTS}\n"


def pixels(joints):
    """Depth and colour pixels (...,4) of joints (...,3), by the nominal pin-hole cameras of Kinect v2."""
    x, y = joints[..., 0] / joints[..., 2], joints[..., 1] / joints[..., 2]
    return np.stack([256 + 365 * x, 212 - 365 * y, 960 + 1060 * x, 540 - 1060 * y], -1)


def skeleton_text(frames, tracks):
    """The content of a `.skeleton` file with `frames` frames; each holds the present tracks, in the order of the list."""
    lines, values = [f"{frames}\n"], []
    rows = [np.concatenate([track.joints, pixels(track.joints), track.state[..., None]], -1) for track in tracks]
    bodies = [BODY_LINE % track.body_id + JOINT_LINE * NUM_JOINTS for track in tracks]
    for t in range(frames):
        seen = [i for i, track in enumerate(tracks) if track.present[t]]
        lines.append(f"{len(seen)}\n")
        for i in seen:
            lines.append(bodies[i])
            values.append(rows[i][t].ravel())
    return "".join(lines) % tuple(np.concatenate(values).tolist() if values else ())
