"""A classifier on one's own data needs nothing but its checkpoint, and raw recordings nothing but their file."""

import pickle

import numpy as np
import pytest
import torch

import main_pretrain
from data.own import own_gendata as own
from data.prepare import pyskl
from feeder.feeder_ntu import Feeder
from feeder.skeleton import joint_names
from predict import trained
from tests.predict.helpers import MAMP, evaluated, shares, trained_on
from util import checkpoint

CLASSES = ("slow", "fast")


@pytest.fixture
def millimetres(tmp_path):
    """(folder of recordings of 4 joints in millimetres, classifier on them in metres around the hip, npz of these)"""
    raw, rng = tmp_path / "raw", np.random.default_rng(0)
    raw.mkdir()
    rows = []
    for i in range(8):
        np.save(raw / f"{i}.npy", 3000 + 300 * rng.normal(size=(20 + i, 4, 3)).cumsum(0))
        rows.append(f"{i},{CLASSES[i % 2]},{'train' if i < 4 else 'test'},{i}")
    (raw / "labels.csv").write_text("name,label,split,group\n" + "\n".join(rows))
    (raw / "skeleton.yaml").write_text("joint_names: [hip, chest, head, hand]\nparents: [hip, hip, chest, chest]\n")
    npz = own.generate([raw], tmp_path, joints_file=raw / "skeleton.yaml", unit=0.001, center="hip")
    return raw, trained_on(npz, tmp_path / "own.pth", "linprobe", *MAMP), npz


def test_own_recordings_are_prepared_as_the_training_data_were(millimetres, predict, tmp_path):
    raw, path, npz = millimetres
    logits = evaluated("linprobe", path, npz, tmp_path / "eval")
    npz.unlink()
    result, code, messages = predict(path, *(raw / f"{i}.npy" for i in range(4, 8)))
    assert code == 0 and "1 bodies of 4 joints, origin at joint hip of the first frame" in messages
    assert "arrays are taken to be in units of 0.001 m" in messages and result["metres_per_unit"] == 0.001
    for i, recording in enumerate(result["recordings"], 4):
        expected = np.exp(logits[str(i)]) / np.exp(logits[str(i)]).sum()
        np.testing.assert_allclose(shares(recording), expected, atol=1e-5)
    assert {row["class_name"] for row in result["recordings"][0]["predictions"]} == set(CLASSES)
    other, _, _ = predict(path, raw / "4.npy", "--unit", "m", "--center", "none")  # what is said counts
    assert np.abs(shares(other["recordings"][0]) - shares(result["recordings"][0])).max() > 1e-3


def test_files_that_are_written_otherwise_than_the_training_data(millimetres, predict, tmp_path):
    """A time stamp, a confidence after every joint, another order of joints, and one joint more."""
    raw, path, _ = millimetres
    joints = np.load(raw / "4.npy")
    order = [2, 0, 4, 1]  # where the model's joints stand in the file
    other = np.zeros((len(joints), 5, 4))
    other[:, order, :3], other[..., 3] = joints, 0.5
    rows = np.column_stack([np.arange(len(joints)) / 30, other.reshape(len(joints), -1)])
    np.savetxt(tmp_path / "other.csv", rows, delimiter=",")
    plain, _, _ = predict(path, raw / "4.npy")
    words = ["--skip_columns", 0, "--columns", "xyz_", "--joint_order", "2,0,4,1", "--row", 1, 5, 4]
    found, code, messages = predict(path, tmp_path / "other.csv", *words)
    assert code == 0, messages
    np.testing.assert_allclose(shares(found["recordings"][0]), shares(plain["recordings"][0]), atol=1e-5)
    _, code, messages = predict(path, tmp_path / "other.csv")
    assert code == 2 and "other.csv" in messages


def test_text_is_what_own_gendata_takes(millimetres, predict, tmp_path):
    raw, path, _ = millimetres
    (tmp_path / "all").mkdir()
    (tmp_path / "all/labels.csv").write_text("name,label")
    for suffix in ("csv", "txt"):
        rows = np.load(raw / "4.npy").reshape(-1, 12)
        np.savetxt(tmp_path / f"all/4.{suffix}", rows, delimiter="," if suffix == "csv" else " ")
    array, _, _ = predict(path, raw / "4.npy")
    result, code, messages = predict(path, tmp_path / "all")
    assert code == 0 and len(result["recordings"]) == 2, messages
    for recording in result["recordings"]:
        np.testing.assert_allclose(shares(recording), shares(array["recordings"][0]), atol=1e-6)
    (tmp_path / "5.csv").write_text("1,2,3,4,5")
    _, code, messages = predict(path, tmp_path / "5.csv")
    assert code == 2 and "5.csv: 5 numbers a row; 4 joints have 12 for each body" in messages


def test_three_flat_people_are_not_two_of_three_dimensions(predict, tmp_path):
    raw, rng = tmp_path / "raw", np.random.default_rng(0)
    raw.mkdir()
    for i in range(4):
        np.savetxt(raw / f"{i}.txt", rng.normal(size=(20, 3 * 4 * 2)).cumsum(0))
    table = "".join(f"\n{i},{CLASSES[i % 2]},{'train' if i < 2 else 'test'},{i}" for i in range(4))
    (raw / "labels.csv").write_text("name,label,split,group" + table)
    npz = own.generate([raw], tmp_path, form=(3, 4, 2))
    path = trained_on(npz, tmp_path / "flat.pth", "linprobe", *MAMP)
    logits = evaluated("linprobe", path, npz, tmp_path / "eval")
    result, _, _ = predict(path, raw / "2.txt")
    np.testing.assert_allclose(shares(result["recordings"][0]), np.exp(logits["2"]) / np.exp(logits["2"]).sum(), atol=1e-5)


def test_one_person_is_copied_where_the_training_data_did(predict, tmp_path):
    rng = np.random.default_rng(1)
    notes = [
        {"frame_dir": f"S{i}", "label": i % 2, "total_frames": 30, "keypoint": rng.normal(size=(1 + i % 2, 30, 25, 3)).cumsum(1)}
        for i in range(6)
    ]
    names = [note["frame_dir"] for note in notes]
    file = tmp_path / "two.pkl"
    file.write_bytes(pickle.dumps({"split": {"xsub_train": names[:2], "xsub_val": names[2:]}, "annotations": notes}))
    npz = pyskl.generate(file, tmp_path, second_body="copy", center="spine mid")[0]
    path = trained_on(npz, tmp_path / "two.pth", "finetune", *MAMP)
    logits = evaluated("finetune", path, npz, tmp_path / "eval")
    npz.unlink()
    result, code, messages = predict(path, file)
    assert code == 0 and "one person copied to make 2" in messages
    for recording in result["recordings"][2:]:
        scores = logits[recording["name"].split(": ")[-1]]
        np.testing.assert_allclose(shares(recording), np.exp(scores) / np.exp(scores).sum(), atol=1e-5)


def test_a_checkpoint_tells_what_its_npz_does(millimetres):
    _, path, npz = millimetres
    content, data = checkpoint.load(path), Feeder(npz)
    bodies = [body for row in Feeder(npz, "test").x for body in row.reshape(-1, 4, 3) if body.any()]
    sides = [max(body[:, axis].max() - body[:, axis].min() for axis in range(3)) for body in bodies]
    assert content["data"].pop("body_size") == pytest.approx(np.median(sides), rel=1e-3)
    assert content["data"] == {
        "num_joints": 4,
        "num_bodies": 1,
        "parents": [0, 0, 1, 1],
        "joint_names": ["hip", "chest", "head", "hand"],
        "class_names": ["fast", "slow"],
        "center": 0,
        "unit": 0.001,
        "coordinates": 3,
    }
    found = trained.skeleton(content, path, {})
    assert found.parents().tolist() == data.parents().tolist() and found.class_names == data.class_names


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_joints", 0),
        ("num_joints", None),
        ("num_joints", 5),
        ("num_bodies", True),
        ("num_bodies", "2"),
        ("num_bodies", 10**12),
        ("parents", [0, 0, 1]),
        ("parents", [1, 0, 1, 1]),
        ("joint_names", ["hip"]),
        ("class_names", "fast"),
        ("class_names", [[1]]),
        ("center", 4),
        ("center", -2),
        ("center", 0.5),
        ("coordinates", 4),
        ("unit", 0),
        ("unit", float("nan")),
        ("unit", "mm"),
        ("unit", 10**400),
        ("unit", True),
        ("second_body", "mirror"),
        ("second_body", torch.ones(2, requires_grad=True)),
    ],
)
def test_what_no_data_have_is_refused_in_one_line(millimetres, predict, key, value):
    raw, path, _ = millimetres
    content = checkpoint.load(path)
    content["data"][key] = value
    checkpoint.save(path, content)
    with pytest.raises(ValueError, match=f"own.pth: .*{'joint' if key == 'num_joints' else key}") as error:
        predict(path, raw / "4.npy")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_names_do_not_move_the_cursor(millimetres, predict):
    raw, path, _ = millimetres
    content = checkpoint.load(path)
    content["data"]["class_names"] = content["data"]["joint_names"] = ["\x1b[2Jfast\n"] * 4
    checkpoint.save(path, content)
    result, _, messages = predict(path, raw / "4.npy")
    assert "\x1b" not in messages and result["recordings"][0]["predictions"][0]["class_name"] == "?[2Jfast?"


def test_a_data_entry_of_somebody_else_means_nothing(shared, tmp_path):
    path = shared("parity/released_finetune_tiny25.pth")
    content = checkpoint.load(path)
    for value in ("ntu60", {}, [1]):
        checkpoint.save(tmp_path / "theirs.pth", content | {"data": value})
        again = checkpoint.load(tmp_path / "theirs.pth")
        assert trained.skeleton(again, "theirs.pth", {}).num_joints == trained.skeleton(content, path, {}).num_joints


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("class_names", np.array([b"a", b"b", b"c"]), ["a", "b", "c"]),
        ("class_names", np.arange(3), ["0", "1", "2"]),
        ("class_names", np.array([["a"], ["b"], ["c"]]), None),
        ("center", np.zeros((3, 3)), None),
        ("center", np.array([1]), 1),
        ("center", np.array(2.0), 2),
        ("unit", np.array("mm"), None),
        ("unit", np.array([0.5]), 0.5),
        ("unit", np.longdouble(0.5), 0.5),
        ("unit", np.datetime64("2020"), None),
        ("joint_names", np.array(["a", "b"]), None),
        ("second_body", np.array("mirror"), None),
    ],
)
def test_training_goes_on_with_what_an_npz_tells_oddly(npz, arrays, options, tmp_path, capsys, key, value, kept):
    path = npz(arrays | {key: value})
    main_pretrain.main(options("pretrain", path, tmp_path / "out", "--epochs", 1))
    assert (f"warning: {path}: {key} is " in capsys.readouterr().out) == (kept is None)
    assert checkpoint.load(tmp_path / "out/checkpoint-last.pth")["data"].get(key) == kept


def test_joints_of_a_known_layout_have_its_names(npz, arrays):
    def names(**more):
        return Feeder(npz({k: v for k, v in arrays.items() if k != "layout"} | more)).joint_names()

    assert names() is None  # five joints are nobody's
    own = {"parents": np.array([0, 0, 1, 1, 3])}
    assert names(**own) is None and names(**own, joint_names=np.array([*"abcde"])) == [*"abcde"]
    samples = arrays["x_train"].shape[1]
    twenty = {f"x_{split}": np.ones((len(arrays[f"x_{split}"]), samples, 60), np.float32) for split in ("train", "test")}
    twenty |= {"num_joints": 20, "num_bodies": 1}
    chain = {"parents": np.maximum(np.arange(20) - 1, 0)}
    assert names(**twenty) == list(joint_names("kinect_v1")) and names(**twenty, **chain) is None
    other = {key: value[..., :51] for key, value in twenty.items() if key[0] == "x"} | {"num_joints": 17, "num_bodies": 1}
    assert names(**other) is None and names(**other, layout="coco17") == list(joint_names("coco17"))
    assert names(**twenty, **chain, layout="kinect_v1") == list(joint_names("kinect_v1"))


def test_a_huge_number_of_joints_is_an_error_at_once(npz, arrays):
    with pytest.raises(ValueError, match="joints need"):
        Feeder(npz(arrays | {"num_joints": 10**12, "center": 0.5}))
