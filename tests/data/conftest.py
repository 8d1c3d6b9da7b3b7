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
