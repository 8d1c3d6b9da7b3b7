"""From the tracked bodies of a Kinect recording to one or two actors: drop ghosts and join broken tracks."""

import numpy as np

from data.prepare.parallel import naming
from data.prepare.skeleton_file import read_skeleton

MISSING = "no frame has a body (missing skeleton)"
MIN_FRAMES = 11  # bodies seen in no more frames are dropped
MAX_SPREAD = 0.8  # ratio of width to height above which a frame is noise: a chair, a table
MAX_NOISY = 0.69754  # share of noisy frames from which on a body is dropped


def read_actors(path):
    """The actors (M, T, V, 3) of a `.skeleton` file, metres. Raises ValueError naming the file."""
    num_frames, bodies = read_skeleton(path)
    if not bodies:
        raise ValueError(f"{path}: {MISSING}")
    with naming(path):
        return denoise(num_frames, bodies).swapaxes(0, 1)


def motion(joints):
    """Motion of a body (T, V, 3): population variance over all frames and joints, summed over xyz, in m²."""
    return np.var(joints.reshape(-1, 3), axis=0).sum()


def noisy_frames(joints):
    """(T, V, 3) -> (T,) bool: frames whose extent along x is more than MAX_SPREAD times that along y."""
    extent = np.ptp(joints[..., :2], axis=1).astype(np.float64)
    return extent[:, 0] > MAX_SPREAD * extent[:, 1]


def denoise(num_frames, bodies):
    """The actors of a recording: (T, M, V, 3) float32, M = 1 or 2, metres.

    num_frames, bodies: from `skeleton_file.read_skeleton`. A single body is returned unchanged. Of several, those that are short
    or wide are dropped, the one with the largest motion is the first actor, and the others extend it where they do not overlap
    in time, or else make up the second actor. Raises ValueError if no body is left.
    """
    if len(bodies) == 1:
        actors = bodies[0].joints[:, None]
    else:
        bodies = drop_wide([body for body in bodies if len(body.joints) > MIN_FRAMES])
        if not bodies:
            raise ValueError(f"no body is seen for more than {MIN_FRAMES} frames")
        if max(body.end for body in bodies) >= num_frames:
            raise ValueError("a body id occurs twice in one frame")
        actors = assign(num_frames, bodies)
        actors = actors[actors.reshape(num_frames, -1).sum(axis=1) != 0]
    if not actors[:, 0].any():
        raise ValueError("all coordinates of the first actor are 0")
    return actors


def drop_wide(bodies):
    """The bodies without those that are noise in most frames, by motion, largest first; the last one left is never dropped."""
    left = []
    for i, body in enumerate(bodies):
        strength = motion(body.joints)
        if len(left) + len(bodies) - i > 1:  # it is not the last that could be left
            noisy = noisy_frames(body.joints)
            if noisy.mean() >= MAX_NOISY:
                continue
            if noisy.any():  # jumps in noisy frames are not motion
                strength = min(strength, motion(body.joints[~noisy]))
        left.append((strength, body))
    return [body for _, body in sorted(left, key=lambda pair: pair[0], reverse=True)]


def assign(num_frames, bodies):
    """Bodies, in the order of `drop_wide`, as actors (T, M, V, 3): M = 1 for a single body, else 2.

    A body is added to the first actor whose interval it does not overlap, and dropped if it overlaps both.
    """
    actors = np.zeros((num_frames, min(len(bodies), 2), *bodies[0].joints.shape[1:]), np.float32)
    intervals = [(bodies[0].start, bodies[0].end), (0, 0)]  # first and last frame of each actor so far
    actors[bodies[0].start : bodies[0].end + 1, 0] = bodies[0].joints
    for body in bodies[1:]:
        for actor, (start, end) in enumerate(intervals):
            if min(end, body.end) - max(start, body.start) <= 0:
                actors[body.start : body.end + 1, actor] = body.joints
                intervals[actor] = min(start, body.start), max(end, body.end)
                break
    return actors
