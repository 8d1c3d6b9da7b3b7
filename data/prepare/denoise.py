"""From the bodies a Kinect reports to one or two actors: drop ghosts and put broken tracks together again."""

import numpy as np

MIN_FRAMES = 11  # a body has to be seen longer than this
MAX_SPREAD = 0.8  # a frame wider than this share of its height is noise: a chair, a table
MAX_NOISY = 0.69754  # share of noisy frames from which on the body is noise


def motion(joints):
    """How much a body moves: population variance over all joints and frames of (T, V, 3), summed over xyz, in m²."""
    return np.var(joints.reshape(-1, 3), axis=0).sum()


def noisy_frames(joints):
    """(T, V, 3) -> (T,) bool: frames whose extent in x is more than MAX_SPREAD times that in y."""
    extent = np.ptp(joints[..., :2], axis=1).astype(np.float64)
    return extent[:, 0] > MAX_SPREAD * extent[:, 1]


def denoise(num_frames, bodies):
    """The actors of a recording: (T, M, V, 3) float32, M = 1 or 2, metres.

    num_frames, bodies: as `skeleton_file.read_skeleton` gives them. A single body stays as it is. Of several, drop
    those that are short or wide, let the one that moves most act, and fill up from the others where they do not
    overlap.
    Raises ValueError if nothing is left.
    """
    if len(bodies) == 1:
        actors = bodies[0].joints[:, None]
    else:
        bodies = drop_wide([body for body in bodies if len(body.joints) > MIN_FRAMES])
        if not bodies:
            raise ValueError(f"no body is seen for more than {MIN_FRAMES} frames")
        if max(body.end for body in bodies) >= num_frames:
            raise ValueError("a body id stands twice in one frame")
        actors = assign(num_frames, bodies)
        actors = actors[actors.reshape(num_frames, -1).sum(axis=1) != 0]
    if not actors[:, 0].any():
        raise ValueError("all coordinates of the first actor are 0")
    return actors


def drop_wide(bodies):
    """Without the bodies that are noise in most frames, never dropping the last; by motion, strongest first."""
    left = []
    for i, body in enumerate(bodies):
        strength = motion(body.joints)
        if len(left) + len(bodies) - i > 1:  # it is not the last that could be left
            noisy = noisy_frames(body.joints)
            if noisy.mean() >= MAX_NOISY:
                continue
            if noisy.any():  # jumps of the noisy frames are no motion
                strength = min(strength, motion(body.joints[~noisy]))
        left.append((strength, body))
    return [body for _, body in sorted(left, key=lambda pair: pair[0], reverse=True)]


def assign(num_frames, bodies):
    """Bodies, strongest first, into (T, M, V, 3): M = 1 for a single body, else 2.

    A body goes to the first actor whose interval it does not overlap, and is dropped if it overlaps both.
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
