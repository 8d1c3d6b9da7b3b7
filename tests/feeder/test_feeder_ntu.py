"""The Feeder against arrays put together by hand, and one clear line for every spoilt file."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from feeder import tools
from feeder.feeder_ntu import Feeder
from feeder.skeleton import joint_names, parents


def by_hand(arrays, split, i, bodies=1, joints=5):
    """Valid frames of sequence i as (C, T, V, M), value by value."""
    frames = arrays[f"x_{split}"][i]
    valid = sum(1 for frame in frames if frame.sum() != 0)
    out = np.zeros((3, valid, joints, bodies), np.float32)
    for t, m, v, c in np.ndindex(valid, bodies, joints, 3):
        out[c, t, v, m] = frames[t, m * joints * 3 + v * 3 + c]
    return torch.from_numpy(out)


def central(x, p, window):
    """The test crop with torch's own interpolation."""
    bias = int((1 - p) * x.shape[1] / 2)
    x = x[:, bias : x.shape[1] - bias]
    flat = x.permute(0, 2, 3, 1).flatten(0, 2)[None]
    resized = F.interpolate(flat, size=window, mode="linear", align_corners=False)[0]
    return resized.unflatten(0, (3, *x.shape[2:])).permute(0, 3, 1, 2)


@pytest.mark.parametrize("split, count, counted", [("train", 24, True), ("test", 13, True), ("test", 13, False)])
def test_items(npz, arrays, split, count, counted):
    if not counted:  # then valid frames are those whose sum is not 0
        del arrays[f"valid_frames_{split}"]
    data = Feeder(npz(arrays), split, p_interval=[0.8], window_size=8)
    assert len(data) == count and data.num_classes == 3 and (data.num_joints, data.num_bodies) == (5, 1)
    for i in (0, 5, count - 1):
        x, label, index = data[i]
        assert x.shape == (3, 8, 5, 1) and x.dtype == torch.float32 and (label, index) == (i % 3, i)
        assert torch.allclose(x, central(by_hand(arrays, split, i), 0.8, 8), atol=1e-6)


def test_published_files_have_25_joints_and_two_bodies(npz):
    rng = np.random.default_rng(0)
    arrays = {"x_test": rng.normal(size=(3, 9, 150)).astype(np.float32), "y_test": np.eye(3)}
    data = Feeder(npz(arrays), "test", [1.0], window_size=9)
    assert data.layout == "kinect_v2" and data.names is None
    assert torch.equal(data[2][0], by_hand(arrays, "test", 2, bodies=2, joints=25))


def test_an_empty_frame_in_between_counts_as_the_release_counts(npz, arrays):
    arrays["x_test"][0] = np.arange(1, 13)[:, None]
    arrays["x_test"][0, 4] = 0
    del arrays["valid_frames_test"]
    x = Feeder(npz(arrays), "test", [1.0], window_size=11)[0][0]
    assert x[0, :, 0, 0].tolist() == [1, 2, 3, 4, 0, 6, 7, 8, 9, 10, 11]  # 11 frames with a sum, so the first 11


def test_training_items_are_crops_rotated_as_a_whole(npz, arrays):
    data = Feeder(npz(arrays), "train", [0.5, 1], window_size=8, min_frames=4, random_rot=True, rot_theta=0.5)
    frames, rng = by_hand(arrays, "train", 3), np.random.RandomState(7)
    begin, end = tools.crop_bounds(frames.shape[1], [0.5, 1], 4, rng)
    expected = tools.rotate(tools.resize_time(frames[:, begin:end], 8), rng.uniform(-0.5, 0.5, 3))
    assert torch.allclose(data.get(3, np.random.RandomState(7))[0], expected, atol=1e-6)
    np.random.seed(1)
    first, second = data[3][0], data[3][0]
    assert not torch.allclose(first, second, atol=1e-3)
    np.random.seed(1)
    assert torch.equal(data[3][0], first)


def test_bones_and_velocity(npz):
    rng = np.random.default_rng(0)
    arrays = {"x_test": rng.normal(size=(2, 9, 60)).astype(np.float32), "y_test": np.eye(2)}
    path = npz(arrays | {"num_joints": 20, "num_bodies": 1, "layout": "kinect_v1"})
    ways = (0, 0), (1, 0), (0, 1), (1, 1)
    plain, bone, vel, both = (Feeder(path, "test", [1.0], window_size=9, bone=b, vel=v)[1][0] for b, v in ways)
    assert torch.equal(bone, plain - plain[:, :, parents("kinect_v1").tolist()])
    assert torch.equal(vel[:, :-1], plain[:, 1:] - plain[:, :-1]) and not vel[:, -1].any()
    assert torch.equal(both[:, :-1], bone[:, 1:] - bone[:, :-1])


@pytest.mark.parametrize("extra", [{}, {"layout": "kinect_v1"}, {"layout": "mine"}])
def test_bones_need_the_layout_of_the_joints(npz, arrays, extra):
    with pytest.raises(ValueError, match="data.npz: .*(layout|joint)"):
        Feeder(npz(arrays | extra), "train", bone=True)


def test_other_joints_than_kinects_have_no_bones_of_kinects(npz):
    """25 joints may be another skeleton, such as OpenPose's; published files do not say what theirs are."""
    arrays = {"x_train": np.ones((2, 6, 75), np.float32), "y_train": np.arange(2), "num_joints": 25, "num_bodies": 1}
    assert Feeder(npz(arrays)).parents().tolist() == parents("kinect_v2").tolist()
    path = npz(arrays | {"joint_names": np.array([f"op{i}" for i in range(25)])})
    assert "parents" not in Feeder(path).metadata()
    with pytest.raises(ValueError, match="data.npz: the bones of its 25 joints are not known; bones need"):
        Feeder(path, bone=True)


def test_a_number_may_be_an_array_of_one(npz):
    arrays = {"x_train": np.ones((2, 6, 12), np.float32), "y_train": np.arange(2)}
    assert Feeder(npz(arrays | {"num_joints": np.array([4]), "num_bodies": np.array([[1]])})).num_joints == 4


def test_joints_of_a_known_layout_have_its_names(npz):
    def names(joints, **more):
        arrays = {"x_train": np.ones((2, 6, 3 * joints), np.float32), "y_train": np.arange(2)}
        return Feeder(npz(arrays | {"num_joints": joints, "num_bodies": 1} | more)).joint_names()

    chain = {"parents": np.maximum(np.arange(20) - 1, 0)}
    assert names(5) is None and names(5, joint_names=np.array([*"abcde"])) == [*"abcde"]
    assert names(25) == list(joint_names("kinect_v2")) and names(25, **chain) is None
    assert names(20) is None  # which 20 joints these are, nobody says
    assert names(20, **chain, layout="kinect_v1") == list(joint_names("kinect_v1"))
    assert names(17) is None and names(17, layout="coco17") == list(joint_names("coco17"))


def test_share_of_the_samples(npz, arrays):
    path = npz(arrays)
    one, again, other = ([item[1:] for item in Feeder(path, "train", data_ratio=0.26, subset_seed=s)] for s in (0, 0, 1))
    assert len(one) == len(set(one)) == 6 and one == again != other  # int(24 · 0.26)
    assert all(label == row % 3 for label, row in one)
    with pytest.raises(ValueError, match="data_ratio 0.01 leaves none of the 24 samples"):
        Feeder(path, "train", data_ratio=0.01)


@pytest.fixture
def grouped(npz, arrays):
    """An npz whose 24 training sequences are of 6 performers."""
    return npz(arrays | {"group_train": np.array([f"P{i % 6}" for i in range(24)]), "group_test": np.array(["P9"] * 13)})


@pytest.mark.parametrize("held_out", [1, 5])
def test_groups_are_held_out_whole_and_always_the_same(grouped, held_out):
    rest, val = (Feeder(grouped, split, val_groups=held_out) for split in ("train", "val"))
    assert sorted([*rest.indices, *val.indices]) == list(range(24))
    groups = set(rest.groups[rest.indices]), set(val.groups[val.indices])
    assert len(groups[1]) == held_out and not groups[0] & groups[1]
    assert Feeder(grouped, "val", val_groups=held_out, subset_seed=3).indices.tolist() == val.indices.tolist()
    assert val[0][2] == val.indices[0] and val.name(val[0][2]).startswith("train sample")
    assert len(Feeder(grouped, "test", val_groups=held_out)) == 13
    few = Feeder(grouped, "train", val_groups=held_out, data_ratio=0.5)
    assert len(few) == len(rest) // 2 and set(few.indices) <= set(rest.indices)
    with pytest.raises(ValueError, match="val_groups 6: the training set has 6 groups, of which 1 to 5 can be held out"):
        Feeder(grouped, "train", val_groups=6)


TWO_LABELS = np.eye(3)[np.arange(24) % 3]
TWO_LABELS[5] = 1, 1, 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"x_train": None}, "no array 'x_train'; it has .*x_test"),
        ({"y_train": None}, "no array 'y_train'"),
        ({"num_joints": 20}, r"x_train has shape \(24, 12, 15\); 1 bodies of 20 joints need \(N, T, 60\)"),
        (
            {"num_joints": None, "num_bodies": None},
            ".*; num_joints is not in .*, so 25 is assumed; num_bodies is not .*, so 2 is",
        ),
        ({"num_bodies": None}, r".* need \(N, T, 30\); num_bodies is not in the file, so 2 is assumed"),
        ({"x_train": np.ones((24, 180))}, r"x_train has shape \(24, 180\)"),
        ({"x_train": np.ones((0, 12, 15))}, "the split 'train' has no samples"),
        ({"y_train": np.eye(3)[:2]}, "24 sequences but 2 labels"),
        ({"y_train": TWO_LABELS}, "y_train: row 5 is not one-hot"),
        ({"y_train": np.zeros((24, 3))}, "y_train: row 0 is not one-hot"),
        ({"y_train": np.arange(24) - 1}, "y_train: row 0 has the label -1"),
        ({"y_train": np.arange(24) / 2}, r"y_train: shape \(24,\), type float64"),
        ({"name_train": np.array(["a"])}, r"name_train has shape \(1,\) for 24 sequences"),
        ({"group_train": np.zeros((24, 2))}, r"group_train has shape \(24, 2\)"),
        ({"valid_frames_train": np.full(24, 99)}, r"valid_frames_train is not within 0..12"),
        ({"valid_frames_train": np.full(24, -1)}, r"valid_frames_train is not within 0..12"),
        ({"num_joints": np.array([5, 5])}, r"num_joints is \[5, 5\]; it has to be one positive whole number"),
        ({"num_joints": 10**12, "center": 0.5}, ".*joints need"),  # at once
        ({"num_bodies": 0}, "num_bodies is 0"),
        ({"num_bodies": 1.5}, "num_bodies is 1.5"),
    ],
)
def test_spoilt_files(npz, arrays, change, message):
    arrays = {key: value for key, value in (arrays | change).items() if value is not None}
    with pytest.raises(ValueError, match=f"data.npz: {message}") as caught:
        Feeder(npz(arrays), "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("labels", [np.eye(4)[np.arange(13) % 4], np.arange(13) % 4])
def test_label_that_training_does_not_have(npz, arrays, labels):
    with pytest.raises(ValueError, match=r"data.npz: y_test: row 3 has the label 3; the classes are 0\.\.2"):
        Feeder(npz(arrays | {"y_test": labels}), "test")


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("value, message", [(np.nan, "not finite"), (np.inf, "not finite"), (0, "has no frame with a body")])
def test_sequence_that_cannot_be_used(npz, arrays, value, message, named):
    if value:
        arrays["x_train"][7, 2, 4] = value
    else:
        arrays["x_train"][7] = arrays["valid_frames_train"][7] = 0
    if not named:
        del arrays["name_train"], arrays["valid_frames_train"]
    data = Feeder(npz(arrays), "train", window_size=8)
    assert data[6]
    with pytest.raises(ValueError, match=r"data.npz: train sample 7" + (r" \(train007\)" if named else "") + f".*{message}"):
        data[7]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"split": "valid"}, "split 'valid': use one of train, val, test"),
        ({"split": "val"}, "split 'val' needs val_groups"),
        ({"val_groups": 2}, "no array 'group_train'"),
        ({"data_ratio": 0}, "data_ratio 0:"),
        ({"data_ratio": 1.5}, "data_ratio 1.5"),
        ({"p_interval": [0.9, 0.5]}, "p_interval"),
        ({"p_interval": [0.0]}, "p_interval"),
        ({"p_interval": [0.5, 0.7, 1.0]}, "p_interval"),
        ({"p_interval": [0.5, 1.1]}, "p_interval"),
    ],
)
def test_options_out_of_range(invented, options, message):
    with pytest.raises(ValueError, match=message):
        Feeder(invented, **options)
