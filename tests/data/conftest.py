import json
import zipfile

import numpy as np
import pytest


@pytest.fixture(scope="session")
def skeleton_text():
    """Text of a .skeleton file; frames: per frame [(body id, (V, 3) joints), ...]."""

    def body(body_id, joints):
        lines = [f"{body_id} 0 1 1 0 0 0 0.02 -0.13 2", str(len(joints))]
        lines += [f"{x:.7g} {y:.7g} {z:.7g} 213.2 212.0 853.4 540.0 0.1 0.2 0.3 0.9 2" for x, y, z in joints]
        return lines

    def text(frames, newline="\n"):
        lines = [str(len(frames))]
        for bodies in frames:
            lines.append(str(len(bodies)))
            for body_id, joints in bodies:
                lines += body(body_id, joints)
        return "".join(line + newline for line in lines)

    return text


@pytest.fixture
def walk():
    """walk(n): (n, 25, 3) float32 of somebody standing upright, about 1.6 m, who sways; seeded."""
    rng = np.random.default_rng(0)

    def frames(n, sway=0.1):
        pose = np.stack([rng.uniform(-0.2, 0.2, 25), np.linspace(-0.8, 0.8, 25), rng.uniform(2.8, 3.0, 25)], axis=1)
        return (pose + sway * rng.normal(size=(n, 1, 3)) * (1, 0.1, 1)).astype(np.float32)

    return frames


@pytest.fixture(scope="session")
def real(shared):
    """{data set: [(T, V, 3) metres, ...]} of genuine recordings, every fifth to tenth."""

    def flat(name, step):
        with np.load(shared(f"realdata/{name}.npz")) as npz:
            joints, offset = npz["joints_tenth_mm"] / 1e4, npz["offset"]
        return [joints[a:b] for a, b in zip(offset, offset[1:], strict=False)][::step]

    with zipfile.ZipFile(shared("realdata/nw_ucla_all_sqe.zip")) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".json"))[::10]
        ucla = [np.array(json.loads(archive.read(name))["skeletons"]) for name in names]
    return {"irds": flat("irds_kinect25_subset", 4), "uiprmd": flat("ui_prmd_kinect22_correct", 10), "ucla": ucla}


@pytest.fixture
def kinect(real):
    """52 frames of 20 joints in the order of Kinect v1, metres."""
    return next(x for x in real["irds"] if len(x) >= 52)[:52, :20]
