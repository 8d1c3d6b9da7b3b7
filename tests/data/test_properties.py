"""The denoising rules once more, written from their description, slowly, on random recordings."""

import numpy as np
import pytest

from data.prepare.denoise import denoise
from data.prepare.skeleton_file import read_skeleton


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
    return [[(int(body_id), np.array(joints, np.float32)) for body_id, joints in bodies] for bodies in frames]


def by_the_rules(frames):
    """Steps 1 and 2 in words of one frame and one joint at a time; {(t, actor): (25, 3)} and the number of actors, or None."""
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


@pytest.fixture(scope="module")
def recordings(tmp_path_factory, skeleton_text):
    """Folder of 120 random recordings and {name: what `by_the_rules` makes of it, or None}; names fit both data sets."""
    rng, folder, expected = np.random.default_rng(0), tmp_path_factory.mktemp("random"), {}
    for i in range(120):
        frames = invent(rng, int(rng.integers(12, 40))) if i % 40 else [[]] * 9
        name = f"S{i % 17 + 1:03}C{i % 3 + 1:03}P{rng.integers(1, 41):03}R{i % 2 + 1:03}A{i % 60 + 1:03}"
        text = skeleton_text(frames, newline=rng.choice(["\n", "\r\n"]))
        (folder / f"{name}.skeleton").write_bytes(text.encode())
        as_written = [[(body_id, rounded(joints)) for body_id, joints in bodies] for bodies in frames]
        expected[name] = by_the_rules(as_written) if any(frames) else None
    return folder, expected


def rounded(joints):
    """To the digits in the file."""
    return np.array([[f"{x:.7g}" for x in joint] for joint in joints], np.float32)


def array(places, count):
    """{(t, actor): (25, 3)} as (T, count, 25, 3), zeros elsewhere."""
    out = np.zeros((1 + max(t for t, _ in places), count, 25, 3), np.float32)
    for place, joints in places.items():
        out[place] = joints
    return out


def test_denoising_follows_the_rules(recordings):
    kinds = set()
    for name, expected in recordings[1].items():
        num_frames, bodies = read_skeleton(recordings[0] / f"{name}.skeleton")
        kinds.add((len(bodies), expected and expected[1]))
        if expected:
            np.testing.assert_array_equal(denoise(num_frames, bodies), array(*expected))
        elif bodies:
            with pytest.raises(ValueError, match="no body is seen for more than 11 frames"):
                denoise(num_frames, bodies)
    assert {(0, None), (1, 1), (2, None), (2, 1), (2, 2), (4, 1), (4, 2)} <= kinds
