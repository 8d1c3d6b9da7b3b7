"""Joint layouts against the published names and bones."""

import json

import numpy as np
import pytest

from feeder.skeleton import joint_names, parents


@pytest.fixture
def names(shared):
    return json.loads(shared("spec/names.json").read_text())


def test_names_and_bones_are_the_published_ones(names):
    assert list(joint_names("kinect_v2")) == names["kinect_v2_joints (NTU order)"]
    bones = names["kinect_v2_bones (child, parent), 1-based"]
    assert len(bones) == 25
    for child, parent in bones:
        assert parents("kinect_v2")[child - 1] == parent - 1


@pytest.mark.parametrize("layout, count, root", [("kinect_v2", 25, "spine shoulder"), ("kinect_v1", 20, "neck")])
def test_bones_are_a_tree(layout, count, root):
    above = parents(layout)
    assert len(above) == len(joint_names(layout)) == count and above.dtype == np.int64
    for joint in range(count):
        for _ in range(count):
            joint = above[joint]
        assert joint_names(layout)[joint] == root


def test_kinect_v1_is_kinect_v2_without_the_last_five():
    assert joint_names("kinect_v1") == joint_names("kinect_v2")[:20]
    v1, v2 = parents("kinect_v1"), parents("kinect_v2")[:20]
    assert all(a == (2 if b == 20 else b) for a, b in zip(v1[3:], v2[3:], strict=True))


@pytest.mark.parametrize("ask", [joint_names, parents])
def test_unknown_layout(ask):
    with pytest.raises(ValueError, match="'openpose'.*kinect_v2, kinect_v1"):
        ask("openpose")
