"""The limits of denoising, and a slow implementation of its rules, written from their description, on random recordings."""

import numpy as np
import pytest

from data.prepare.denoise import denoise, noisy_frames
from data.prepare.skeleton_file import Body, read_skeleton


def wide(joints):
    """The same lying on its side: noise by its extent."""
    return joints[..., [1, 0, 2]]


def test_noisy_frames_are_wider_than_08_of_their_height():
    joints = np.zeros((3, 25, 3), np.float32)
    joints[:, 0, 1] = 1.0
    joints[:, 1, 0] = 0.79, 0.8, 0.81
    assert noisy_frames(joints).tolist() == [False, True, True]  # 0.8 as float32 lies above 0.8


@pytest.mark.parametrize("length, actors", [(11, 1), (12, 2)])
def test_bodies_of_up_to_11_frames_are_dropped(walk, length, actors):
    bodies = [Body("1", 0, walk(30)), Body("2", 3, walk(length))]
    assert denoise(30, bodies).shape == (30, actors, 25, 3)


@pytest.mark.parametrize("share, actors", [(13, 2), (14, 1)])  # of 20 frames: 0.65 and 0.70, the limit is 0.69754
def test_bodies_noisy_in_most_frames_are_dropped(walk, share, actors):
    joints = walk(20)
    joints[:share] = wide(joints[:share])
    out = denoise(20, [Body("1", 0, joints), Body("2", 0, walk(20))])
    assert out.shape[1] == actors


def test_actors_that_share_one_frame_do_not_overlap(walk):
    first, second = walk(20, 0.9), walk(20, 0.3)
    out = denoise(39, [Body("1", 0, first), Body("2", 19, second)])
    np.testing.assert_array_equal(out[:, 0], np.concatenate([first[:19], second]))
    assert out.shape == (39, 2, 25, 3) and not out[:, 1].any()


def test_nothing_left(walk):
    with pytest.raises(ValueError, match="no body is seen for more than 11 frames"):
        denoise(20, [Body("1", 0, walk(5)), Body("2", 9, walk(11))])
    with pytest.raises(ValueError, match="all coordinates of the first actor are 0"):
        denoise(3, [Body("1", 0, np.zeros((3, 25, 3), np.float32))])


def test_an_id_twice_in_a_frame(walk):
    with pytest.raises(ValueError, match="a body id occurs twice in one frame"):
        denoise(20, [Body("1", 0, walk(21)), Body("2", 0, walk(20))])


# ---- random recordings ---------------------------------------------------------------------------------------------------


def invent(rng, num_frames):
    """Up to four people in random intervals, some lying (wide), some flickering: frames [[(id, (25, 3) joints), ...], ...]."""
    frames = [[] for _ in range(num_frames)]
    for number in range(rng.integers(1, 5)):
        begin, end = np.sort(rng.integers(0, num_frames + 1, 2))
        if rng.random() < 0.3:
            begin, end = 0, num_frames
        pose = rng.uniform(-0.3, 0.3, (25, 3)) + (0, 0, 3)
        pose[:, 1] = np.linspace(-0.8, 0.8, 25)
        wide, sway = rng.choice([0, 0, 0.5, 0.9]), rng.choice([0.01, 0.1, 0.3])
        for t in range(begin, end):
            if rng.random() < 0.03:
                continue
            joints = pose + sway * rng.normal(size=3)
            frames[t].append((2**56 + number, joints[:, [1, 0, 2]] if rng.random() < wide else joints))
    for bodies in frames:
        rng.shuffle(bodies)
    # to as many digits as are in a file
    return [[(int(body_id), np.round(joints, 4).astype(np.float32)) for body_id, joints in bodies] for bodies in frames]


def by_the_rules(frames):
    """Steps 1 and 2, one frame and joint at a time: ({(t, actor): (25, 3)}, number of actors), or None."""
    frames = [bodies for bodies in frames if bodies]
    tracks, first = {}, {}
    for t, bodies in enumerate(frames):
        for body_id, joints in bodies:
            first.setdefault(body_id, t)
            tracks.setdefault(body_id, []).append(joints)
    if len(tracks) == 1:
        only = next(iter(tracks.values()))
        return {(t, 0): joints for t, joints in enumerate(only)}, 1
    tracks = {i: track for i, track in tracks.items() if len(track) > 11}

    def variance(track):
        return sum(np.var([joint[c] for joints in track for joint in joints], dtype=np.float64) for c in range(3))

    motion, left = {}, list(tracks)
    for i in list(tracks):
        motion[i] = variance(tracks[i])
        if len(left) > 1:
            width, height = ([np.float64(np.ptp(joints[:, c])) for joints in tracks[i]] for c in (0, 1))
            clean = [joints for joints, w, h in zip(tracks[i], width, height, strict=True) if not w > 0.8 * h]
            if 1 - len(clean) / len(tracks[i]) >= 0.69754:
                left.remove(i)
                continue
            if len(clean) < len(tracks[i]):
                motion[i] = min(motion[i], variance(clean))
    if not left:
        return None
    left.sort(key=lambda i: -motion[i])
    spans = [(first[left[0]], first[left[0]] + len(tracks[left[0]]) - 1), (0, 0)]
    actors = {}
    for rank, i in enumerate(left):
        span = first[i], first[i] + len(tracks[i]) - 1
        for actor in (0, 1):
            if rank == 0 or min(span[1], spans[actor][1]) - max(span[0], spans[actor][0]) <= 0:
                actors |= {(span[0] + t, actor): joints for t, joints in enumerate(tracks[i])}
                spans[actor] = min(span[0], spans[actor][0]), max(span[1], spans[actor][1])
                break
    kept = sorted({t for t, _ in actors})
    return {(kept.index(t), actor): joints for (t, actor), joints in actors.items()}, min(len(left), 2)


def test_random_recordings_follow_the_rules(skeleton_text, tmp_path):
    rng, kinds, path = np.random.default_rng(0), set(), tmp_path / "a.skeleton"
    for _ in range(120):
        frames = invent(rng, int(rng.integers(12, 40)))
        path.write_text(skeleton_text(frames))
        num_frames, bodies = read_skeleton(path)
        expected = by_the_rules(frames)
        kinds.add((len(bodies), expected and expected[1]))
        if expected:
            places, count = expected
            actors = np.zeros((1 + max(t for t, _ in places), count, 25, 3), np.float32)
            for place, joints in places.items():
                actors[place] = joints
            np.testing.assert_array_equal(denoise(num_frames, bodies), actors)
        elif bodies:
            with pytest.raises(ValueError, match="no body is seen for more than 11 frames"):
                denoise(num_frames, bodies)
    assert {(1, 1), (2, None), (2, 1), (2, 2), (4, 1), (4, 2)} <= kinds
