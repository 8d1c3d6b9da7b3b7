"""A classifier on one's own data needs nothing but its checkpoint, and raw recordings nothing but their file."""

import pickle

import numpy as np
import pytest

from data.own import own_gendata as own
from data.pyskl import pyskl_gendata as pyskl
from feeder.feeder_ntu import Feeder
from tests.predict.helpers import MAMP, evaluated, shares, trained_on
from util import checkpoint, trained

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
    for i, recording in enumerate(result["recordings"], 4):
        expected = np.exp(logits[str(i)]) / np.exp(logits[str(i)]).sum()
        np.testing.assert_allclose(shares(recording), expected, atol=1e-5)
    assert {row["class_name"] for row in result["recordings"][0]["predictions"]} == set(CLASSES)
    other, _, _ = predict(path, raw / "4.npy", "--unit", "m", "--center", "none")  # what is said counts
    assert np.abs(shares(other["recordings"][0]) - shares(result["recordings"][0])).max() > 1e-3


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
    assert content["data"] == {
        "num_joints": 4, "num_bodies": 1, "parents": [0, 0, 1, 1], "joint_names": ["hip", "chest", "head", "hand"],
        "class_names": ["fast", "slow"], "center": 0, "unit": 0.001,
    }  # fmt: skip
    found = trained.skeleton(content, path, {})
    assert found.parents().tolist() == data.parents().tolist() and found.class_names == data.class_names.tolist()


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_joints", 0), ("num_joints", None), ("num_joints", 5), ("num_bodies", True), ("num_bodies", "2"),
     ("parents", [0, 0, 1]), ("parents", [1, 0, 1, 1]), ("joint_names", ["hip"]), ("class_names", "fast"),
     ("class_names", [1, 2]), ("center", 4), ("center", -2), ("unit", 0), ("unit", float("nan")), ("unit", "mm"),
     ("second_body", "mirror")],
)  # fmt: skip
def test_what_no_data_have_is_refused_in_one_line(millimetres, predict, key, value):
    raw, path, _ = millimetres
    content = checkpoint.load(path)
    content["data"][key] = value
    checkpoint.save(path, content)
    with pytest.raises(ValueError, match=f"own.pth: .*({key.removeprefix('num_')})") as error:
        predict(path, raw / "4.npy")
    assert "\n" not in str(error.value)
