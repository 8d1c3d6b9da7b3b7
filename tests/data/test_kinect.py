"""Other skeletons mapped to the 20 joints of Kinect v1 by their usual joint names."""

import numpy as np
import pytest

from data.prepare import kinect
from feeder import skeleton

ARMS = ("shoulder", "elbow", "wrist")
LEGS = ("hip", "knee", "ankle", "foot")
# names of the joints: base, neck, head; shoulder, elbow, wrist, hip, knee, ankle, foot of a side; and joints without counterpart
PEOPLE = {
    "CMU, MotionBuilder": (
        "Hips Neck Head",
        "{Left}Arm {Left}ForeArm {Left}Hand {Left}UpLeg {Left}Leg {Left}Foot {Left}ToeBase",
        "LHipJoint RHipJoint LowerBack Spine Spine1 Neck1 LeftShoulder RightShoulder LThumb RThumb",
    ),
    "CMU, DAZ": (
        "hip neck head",
        "{l}Shldr {l}ForeArm {l}Hand {l}Thigh {l}Shin {l}Foot {l}Foot_end",
        "abdomen chest lCollar rCollar leftEye lButtock rButtock lThumb1",
    ),
    "CMU, ASF": (
        "root lowerneck head",
        "{l}humerus {l}radius {l}wrist {l}femur {l}tibia {l}foot {l}toes",
        "lhipjoint rhipjoint lowerback upperback thorax upperneck lclavicle rclavicle lthumb rthumb",
    ),
    "LaFAN1": (
        "Hips Neck Head",
        "{Left}Arm {Left}ForeArm {Left}Hand {Left}UpLeg {Left}Leg {Left}Foot {Left}Toe",
        "Spine Spine1 Spine2 LeftShoulder RightShoulder",
    ),
    "100STYLE": (
        "Hips Neck Head",
        "{Left}Shoulder {Left}Elbow {Left}Wrist {Left}Hip {Left}Knee {Left}Ankle {Left}Toe",
        "Chest Chest2 Chest3 Chest4 LeftCollar RightCollar",
    ),
    "Bandai-Namco": (
        "Hips Neck Head",
        "UpperArm_{L} LowerArm_{L} Hand_{L} UpperLeg_{L} LowerLeg_{L} Foot_{L} Toes_{L}",
        "joint_Root Spine Chest Shoulder_L Shoulder_R",
    ),
    "Mixamo": (
        "mixamorig:Hips mixamorig:Neck mixamorig:Head",
        " ".join(f"mixamorig:{{Left}}{part}" for part in "Arm ForeArm Hand UpLeg Leg Foot ToeBase".split()),
        "mixamorig:Spine mixamorig:Spine1 mixamorig:LeftShoulder mixamorig:RightShoulder mixamorig:LeftHandThumb1",
    ),
}


def skeletons():
    """(title, names, {joint of Kinect v1: name}) of each, the names in the order middle, sides, others."""
    for title, (middle, sided, others) in PEOPLE.items():
        expected = dict(zip(("spine base", "neck", "head"), middle.split(), strict=True))
        for side in ("left", "right"):
            form = {"Left": side.title(), "l": side[0], "L": side[0].upper()}
            for joint, name in zip((*ARMS, *LEGS), sided.format(**form).split(), strict=True):
                expected[f"{joint} {side}"] = name
        yield title, [*expected.values(), *others.split()], expected


def above(names, expected):
    """Parents: the neck hangs on a joint between, which hangs on the base of the spine; all others on the neck."""
    base, neck = (names.index(expected[joint]) for joint in ("spine base", "neck"))
    parents = np.full(len(names), neck)
    parents[[base, neck]] = base, len(names) - 1
    parents[-1] = base
    return parents


@pytest.mark.parametrize("title, names, expected", list(skeletons()), ids=list(PEOPLE))
@pytest.mark.parametrize("seed", range(3))
def test_usual_skeletons(title, names, expected, seed):
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(names) - 1).tolist() + [len(names) - 1]  # where a joint stands in the file does not matter
    names = [names[i] for i in order]
    joints = rng.normal(size=(4, len(names), 3))
    converted = kinect.kinect_v1(joints, names, above(names, expected), title)
    found = {joint: converted[:, i] for i, joint in enumerate(skeleton.joint_names("kinect_v1"))}
    own = {joint: joints[:, names.index(name)] for joint, name in expected.items()}
    for joint, place in own.items():
        if joint != "head":
            np.testing.assert_array_equal(found[joint], place, joint)
    for side in ("left", "right"):
        elbow, wrist = own[f"elbow {side}"], own[f"wrist {side}"]
        np.testing.assert_allclose(found[f"hand {side}"], elbow + 1.3 * (wrist - elbow), atol=1e-12)
    # the middle of the spine is as far from the base as from the neck, along base - joint between - neck
    base, between, neck, middle = own["spine base"], joints[:, -1], own["neck"], found["spine mid"]
    first, second = np.linalg.norm(between - base, axis=1), np.linalg.norm(neck - between, axis=1)
    for t in range(4):
        if first[t] > second[t]:
            expected_middle = base[t] + (between - base)[t] * (first + second)[t] / 2 / first[t]
        else:
            expected_middle = neck[t] + (between - neck)[t] * (first + second)[t] / 2 / second[t]
        np.testing.assert_allclose(middle[t], expected_middle, atol=1e-12)
    # the head is beyond its joint, straight on from the neck, by a fifth of the trunk
    beyond = found["head"] - own["head"]
    np.testing.assert_allclose(np.linalg.norm(beyond, axis=1), np.linalg.norm(neck - base, axis=1) / 5, atol=1e-12)
    np.testing.assert_allclose(np.cross(beyond, own["head"] - neck), 0, atol=1e-12)
    assert (np.einsum("tc,tc->t", beyond, own["head"] - neck) > 0).all()


def test_a_head_with_an_end_and_hands_with_fingers():
    names = "Hips Neck Head HeadTop_End LeftArm LeftForeArm LeftHand LeftHandMiddle1".split()
    names += "RightArm RightForeArm RightHand RightHandIndex1".split()
    names += "LeftUpLeg LeftLeg LeftFoot LeftToeBase RightUpLeg RightLeg RightFoot RightToeBase".split()
    joints = np.random.default_rng(0).normal(size=(2, len(names), 3))
    found = kinect.kinect_v1(joints, names, np.maximum(np.arange(len(names)) - 1, 0), "a.bvh")
    at = skeleton.joint_names("kinect_v1").index
    np.testing.assert_allclose(found[:, at("head")], joints[:, 2:4].mean(1))
    np.testing.assert_array_equal(found[:, at("hand left")], joints[:, 7])
    np.testing.assert_array_equal(found[:, at("hand right")], joints[:, 11])
    joints[:, 3] = joints[:, 2]  # an end at the joint itself says nothing
    found = kinect.kinect_v1(joints, names, np.maximum(np.arange(len(names)) - 1, 0), "a.bvh")
    assert (np.linalg.norm(found[:, at("head")] - joints[:, 2], axis=1) > 0.01).all()


def test_kinect_v2_keeps_its_own_joints(shared):
    with np.load(shared("realdata/irds_kinect25_subset.npz")) as file:
        joints, names = file["joints_tenth_mm"][:50] / 1e4, file["joint_names"]
    parents = skeleton.parents("kinect_v2")
    order = np.random.default_rng(0).permutation(25)
    np.testing.assert_array_equal(kinect.kinect_v1(joints[:, order], names[order], parents, "irds"), joints[:, :20])


@pytest.mark.parametrize("gone", ["Hips", "Neck", "Head", "RightForeArm", "RightHand", "LeftUpLeg", "RightFoot"])
def test_what_cannot_be_derived_is_named(gone):
    _, names, expected = next(each for each in skeletons() if each[0] == "LaFAN1")
    names = [name if name != gone else "other" for name in names]
    missing = next(joint for joint, name in expected.items() if name == gone)
    with pytest.raises(ValueError, match=f"^a.bvh: no joint that could be Kinect's '{missing}' among .*other"):
        kinect.kinect_v1(np.zeros((1, len(names), 3)), names, np.maximum(np.arange(len(names)) - 1, 0), "a.bvh")


def test_a_neck_that_hangs_elsewhere():
    _, names, _ = next(each for each in skeletons() if each[0] == "LaFAN1")
    with pytest.raises(ValueError, match="a.bvh: its neck is not a descendant of its hips"):
        kinect.kinect_v1(np.zeros((1, len(names), 3)), names, np.arange(len(names)), "a.bvh")
