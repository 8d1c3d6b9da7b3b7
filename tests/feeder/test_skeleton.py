"""Joint layouts against the published names and bones."""

import json

import numpy as np
import pytest

from feeder.skeleton import LAYOUTS, joint_names, opposite_joints, parents, parents_of, tree


def test_names_and_bones_are_the_published_ones(shared):
    published = json.loads(shared("spec/names.json").read_text())
    assert list(joint_names("kinect_v2")) == published["kinect_v2_joints (NTU order)"]
    bones = published["kinect_v2_bones (child, parent), 1-based"]
    assert len(bones) == 25 and all(parents("kinect_v2")[child - 1] == parent - 1 for child, parent in bones)
    assert joint_names("kinect_v1") == joint_names("kinect_v2")[:20]
    v1, v2 = parents("kinect_v1"), parents("kinect_v2")[:20]
    assert all(a == (2 if b == 20 else b) for a, b in zip(v1[3:], v2[3:], strict=True))


@pytest.mark.parametrize(
    "layout, count, root",
    [("kinect_v2", 25, "spine shoulder"), ("kinect_v1", 20, "neck"), ("coco17", 17, "nose"), ("mediapipe33", 33, "nose")],
)
def test_bones_are_a_tree(layout, count, root):
    above = parents(layout)
    assert len(above) == len(joint_names(layout)) == count and above.dtype == np.int64
    for joint in range(count):
        for _ in range(count):
            joint = above[joint]
        assert joint_names(layout)[joint] == root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_opposite_joints(layout):
    names, opposite = joint_names(layout), opposite_joints(joint_names(layout), parents(layout))
    for name, other in zip(names, opposite, strict=True):
        swapped = [{"left": "right", "right": "left"}.get(word, word) for word in name.split()]
        assert names[other] == " ".join(swapped)


@pytest.mark.parametrize(
    "names, above, expected",
    [
        (["Hips", "LeftArm", "RightArm", "kneeL", "kneeR", "r_toe", "l_toe"], None, [0, 2, 1, 4, 3, 6, 5]),
        (["Hips", "LHipJoint", "RHipJoint", "LeftLeg", "RightLeg"], [0, 0, 0, 1, 2], [0, 2, 1, 4, 3]),
        (["ROOT", "LOWERBACK", "L5", "Bip01 L Thigh", "Bip01 R Thigh"], None, [0, 1, 2, 4, 3]),
        (["mixamorig:Hips", "mixamorig:RightUpLeg", "mixamorig:LeftUpLeg"], None, [0, 2, 1]),
        (["root", "lowerback", "lfemur", "rfemur", "lhipjoint", "rhipjoint", "head"], None, [0, 1, 3, 2, 5, 4, 6]),
        (["hips", "left arm", "arm"], None, "joint 'left arm' has no counterpart"),
        (["hips", "chest", "head"], None, "no name of a joint says left or right: hips, chest, head"),
        (["hip", "left hand", "left hand", "right hand"], None, "joints 'left hand' and 'left hand' have the same name"),
        (
            ["hips", "lseat", "rseat", "left leg", "right leg"],
            [0, 0, 0, 1, 2],
            "the parent of 'left leg' is 'lseat', but that of 'right",
        ),
    ],
)
def test_opposite_joints_of_other_skeletons(names, above, expected):
    above = above and np.array(above)
    if isinstance(expected, list):
        assert opposite_joints(names, above).tolist() == expected
    else:
        with pytest.raises(ValueError, match=expected):
            opposite_joints(names, above)


def test_own_parents_come_before_the_layout():
    own = parents_of({"layout": np.str_("kinect_v2"), "parents": np.array([1, 1, 1], np.int32)}, 3)
    assert own.tolist() == [1, 1, 1] and own.dtype == np.int64
    assert parents_of({}, 25).tolist() == parents("kinect_v2").tolist()  # the published files say nothing


@pytest.mark.parametrize(
    "arrays, joints, reason",
    [
        ({"layout": np.str_("kinect_v1")}, 25, "25 joints, its layout 'kinect_v1' has 20"),
        ({"layout": np.str_("openpose")}, 5, "unknown joint layout 'openpose'.*kinect_v2, kinect_v1"),
        ({"parents": np.array([0, 0])}, 3, "not one joint 0..2 for each of the 3 joints"),
        ({"parents": np.array([0.0, 0.0, 1.0])}, 3, "not one joint"),
        ({"parents": np.array([True, False, False])}, 3, "not one joint"),
        ({"parents": np.array([0, 0, 3])}, 3, "not one joint"),
        ({"parents": np.array([-1, 0, 1])}, 3, "not one joint"),
        ({"parents": np.array(0)}, 1, "not one joint"),
        ({"parents": np.array([0, 2, 1])}, 3, "leads joint 1 around in a circle"),
    ],
)
def test_no_parents_for_these_joints(arrays, joints, reason):
    with pytest.raises(ValueError, match=reason):
        parents_of(arrays, joints)


def test_tree_by_walking_up():
    """Random parents: `tree` admits exactly those from which every walk ends at a joint that is its own parent."""
    for above in np.random.default_rng(0).integers(0, 4, (200, 4)):
        ends = range(4)
        for _ in range(4):
            ends = [above[joint] for joint in ends]
        if all(above[joint] == joint for joint in ends):
            assert tree(above, 4).tolist() == above.tolist()
        else:
            with pytest.raises(ValueError, match="circle"):
                tree(above, 4)
