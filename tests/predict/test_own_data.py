"""A classifier on one's own data needs nothing but its checkpoint, and raw recordings nothing but their file."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import main_pretrain
from data.own import own_gendata as own
from data.prepare import pyskl
from feeder.feeder_ntu import Feeder
from predict import load_model
from tests.predict.helpers import MAMP, changed, evaluated, probabilities, softmax, trained_on
from util import checkpoint

CLASSES = ("slow", "fast")


@pytest.fixture(scope="module")
def millimetres(tmp_path_factory):
    """(folder of recordings of 4 joints in millimetres, classifier on them in metres around the hip, npz of these)"""
    folder, rng, rows = tmp_path_factory.mktemp("own"), np.random.default_rng(0), []
    raw = folder / "raw"
    raw.mkdir()
    for i in range(8):
        np.save(raw / f"{i}.npy", 3000 + 300 * rng.normal(size=(20 + i, 4, 3)).cumsum(0))
        rows.append(f"{i},{CLASSES[i % 2]},{'train' if i < 4 else 'test'},{i}")
    (raw / "labels.csv").write_text("name,label,split,group\n" + "\n".join(rows))
    (raw / "skeleton.yaml").write_text("joint_names: [hip, chest, head, hand]\nparents: [hip, hip, chest, chest]\n")
    npz = own.generate([raw], folder, joints_file=raw / "skeleton.yaml", unit=0.001, center="hip")
    return raw, trained_on(npz, folder / "own.pth", "linprobe", *MAMP), npz


def test_own_recordings_are_prepared_as_the_training_data_were(millimetres, predict, tmp_path):
    raw, path, npz = millimetres
    logits = evaluated("linprobe", path, npz, tmp_path / "eval")
    gone = changed(path, tmp_path / "own.pth", data_path="gone.npz")  # the checkpoint alone is enough
    files = [raw / f"{i}.npy" for i in range(4, 8)]
    result, code, messages = predict(gone, *files)
    assert code == 0 and "1 bodies of 4 joints, origin at joint hip of the first frame" in messages
    assert "arrays are taken to be in units of 0.001 m" in messages and result["metres_per_unit"] == 0.001
    np.testing.assert_allclose(probabilities(result), softmax([logits[file.stem] for file in files]), atol=1e-5)
    assert {row["class_name"] for row in result["recordings"][0]["predictions"]} == set(CLASSES)
    other, _, _ = predict(path, raw / "4.npy", "--unit", "m", "--center", "none")  # what is said counts
    assert np.abs(probabilities(other)[0] - probabilities(result)[0]).max() > 1e-3


def test_an_npz_of_other_data_does_not_rename_classes_or_joints(millimetres, predict, tmp_path):
    raw, path, npz = millimetres
    with np.load(npz) as file:
        arrays = dict(file)
    for key, change in (("class_names", np.array(["sit", "stand"])), ("joint_names", arrays["joint_names"][::-1]), ("center", 1)):
        np.savez(tmp_path / "other.npz", **arrays | {key: change})
        with pytest.raises(ValueError, match=f"other.npz: {key} are .*, those of .*own.pth .*; leave --data_path out"):
            predict(path, raw / "4.npy", "--data_path", tmp_path / "other.npz")
    assert predict(path, raw / "4.npy", "--data_path", npz)[0] == predict(path, raw / "4.npy")[0]


def test_no_input_is_overwritten(millimetres, predict, tmp_path):
    raw, path, _ = millimetres
    recording = shutil.copy(raw / "4.npy", tmp_path / "4.npy")
    for words in (("--output", recording), ("--features", path), ("--output", tmp_path)):
        before = {file: Path(file).read_bytes() for file in (recording, path)}
        with pytest.raises(ValueError, match=f"{words[0]} .*: is (an input of this command|a folder; name the file)"):
            predict(path, recording, *words)
        assert {file: Path(file).read_bytes() for file in (recording, path)} == before


def test_files_that_are_written_otherwise_than_the_training_data(millimetres, predict, tmp_path):
    """As rows of text; and with a time stamp, a confidence after every joint, another order of joints, and one joint more."""
    raw, path, _ = millimetres
    joints = np.load(raw / "4.npy")
    plain, _, _ = predict(path, raw / "4.npy")
    (tmp_path / "all").mkdir()
    (tmp_path / "all/labels.csv").write_text("name,label")
    for suffix in ("csv", "txt"):
        np.savetxt(tmp_path / f"all/4.{suffix}", joints.reshape(-1, 12), delimiter="," if suffix == "csv" else " ")
    result, code, messages = predict(path, tmp_path / "all")
    assert code == 0 and len(result["recordings"]) == 2, messages
    np.testing.assert_allclose(probabilities(result), probabilities(plain)[[0, 0]], atol=1e-6)
    other = np.zeros((len(joints), 5, 4))
    other[:, [2, 0, 4, 1], :3], other[..., 3] = joints, 0.5
    rows = np.column_stack([np.arange(len(joints)) / 30, other.reshape(len(joints), -1)])
    np.savetxt(tmp_path / "other.csv", rows, delimiter=",")
    words = ["--skip_columns", 0, "--columns", "xyz_", "--joint_order", "2,0,4,1", "--row", 1, 5, 4]
    found, code, messages = predict(path, tmp_path / "other.csv", *words)
    assert code == 0, messages
    np.testing.assert_allclose(probabilities(found), probabilities(plain), atol=1e-5)
    (tmp_path / "5.csv").write_text("1,2,3,4,5")
    _, code, messages = predict(path, tmp_path / "other.csv", tmp_path / "5.csv")
    assert code == 2 and "other.csv: " in messages
    assert "5.csv: 5 numbers per row; 4 joints have 12 for each body" in messages


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
    np.testing.assert_allclose(probabilities(predict(path, raw / "2.txt")[0])[0], softmax(logits["2"]), atol=1e-5)


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
    np.testing.assert_allclose(probabilities(result)[2:], softmax([logits[name] for name in names[2:]]), atol=1e-5)


@pytest.fixture
def five(tmp_path, arrays):
    """(classifier, npz) of 5 joints, 1 body and 3 classes, bones by an own tree."""
    npz, tree = tmp_path / "mine.npz", np.array([0, 0, 1, 1, 3])
    names = {"class_names": np.array(["slow", "fast", "still"]), "joint_names": np.array(["hip", "chest", "head", "arm", "hand"])}
    np.savez(npz, **arrays, parents=tree, **names)
    return trained_on(npz, tmp_path / "own.pth", "linprobe", *MAMP, "--input_stream", "bone"), npz


def test_own_data_of_an_older_checkpoint_are_known_by_their_npz(five, arrays, predict, tmp_path):
    path, npz = five
    changed(path, path, data=None)
    scores = evaluated("linprobe", path, npz, tmp_path / "eval")
    length = arrays["valid_frames_test"][0]
    np.save(tmp_path / "one.npy", arrays["x_test"][0, :length].reshape(length, 5, 3))
    result, code, _ = predict(path, tmp_path / "one.npy")
    np.testing.assert_allclose(probabilities(result)[0], softmax(scores["test000"]), atol=2e-6)
    assert {row["class_name"] for row in result["recordings"][0]["predictions"]} == {"slow", "fast", "still"}
    shutil.move(npz, tmp_path / "elsewhere.npz")
    with pytest.raises(ValueError, match="own.pth: has 5 joints, .*mine.npz, is not here .*--data_path"):
        predict(path, tmp_path / "one.npy")
    again, _, _ = predict(path, tmp_path / "one.npy", "--data_path", tmp_path / "elsewhere.npz")
    assert again["recordings"] == result["recordings"]


def test_center_moves_the_origin_as_in_the_training_data(five, arrays, predict, tmp_path):
    path = changed(five[0], tmp_path / "joint.pth", input_stream="joint")  # bones do not see where the origin is
    joints = arrays["x_test"][0, :6].reshape(6, 5, 3)
    np.save(tmp_path / "far.npy", joints + 3)
    np.save(tmp_path / "moved.npy", joints - joints[0, 0])
    far, _, _ = predict(path, tmp_path / "far.npy", "--center", "hip")
    near, _, _ = predict(path, tmp_path / "moved.npy", "--center", "none")
    other, _, _ = predict(path, tmp_path / "far.npy")
    np.testing.assert_allclose(probabilities(far), probabilities(near), atol=1e-5)
    assert np.abs(probabilities(other) - probabilities(near)).max() > 1e-3
    with pytest.raises(ValueError, match="--center neck: .*hip, chest"):
        predict(path, tmp_path / "far.npy", "--center", "neck")


def test_more_bodies_than_the_model_knows_are_pointed_out(five, arrays, predict, tmp_path):
    """Eight recordings in one array were answered as one."""
    np.save(tmp_path / "eight.npy", np.stack([arrays["x_test"][i % 13, :6].reshape(6, 5, 3) for i in range(8)]))
    result, _, said = predict(five[0], tmp_path / "eight.npy", "--axes", "MTVC")
    assert len(result["recordings"]) == 1
    assert "8 bodies, the model knows 1; those that move most are used. If these are 8 recordings" in said


# ---- what checkpoints and npz say of their data -----------------------------------------------------------------------------


def test_a_checkpoint_tells_what_its_npz_does(millimetres):
    _, path, npz = millimetres
    content, data = checkpoint.load(path), Feeder(npz)
    bodies = [body for row in Feeder(npz, "test").x for body in row.reshape(-1, 4, 3) if body.any()]
    assert content["data"].pop("body_size") == pytest.approx(np.median([np.ptp(body, axis=0).max() for body in bodies]), rel=1e-3)
    assert content["data"] == {"num_joints": 4, "num_bodies": 1, "parents": [0, 0, 1, 1], "center": 0, "coordinates": 3} | {
        "joint_names": ["hip", "chest", "head", "hand"],
        "class_names": ["fast", "slow"],
        "unit": 0.001,
    }
    found = load_model.training_data(content, path, {})
    assert found.parents().tolist() == data.parents().tolist() and found.class_names == data.class_names


IMPOSSIBLE = {
    "num_joints": [0, None, 5],
    "num_bodies": [True, "2", 10**12],
    "parents": [[0, 0, 1], [1, 0, 1, 1]],
    "joint_names": [["hip"]],
    "class_names": ["fast", [[1]]],
    "center": [4, -2, 0.5],
    "coordinates": [4],
    "unit": [0, float("nan"), "mm", 10**400, True],
    "second_body": ["mirror", torch.ones(2, requires_grad=True)],
}


@pytest.mark.parametrize("key", IMPOSSIBLE)
def test_what_no_data_have_is_refused_in_one_line(millimetres, tmp_path, key):
    content = checkpoint.load(millimetres[1])
    for value in IMPOSSIBLE[key]:
        checkpoint.save(tmp_path / "own.pth", content | {"data": content["data"] | {key: value}})
        again = checkpoint.load(tmp_path / "own.pth")
        with pytest.raises(ValueError, match=f"own.pth: .*{'joint' if key == 'num_joints' else key}") as error:
            load_model.training_data(again, tmp_path / "own.pth", {})
        assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_names_do_not_move_the_cursor(millimetres, predict, tmp_path):
    raw, path, _ = millimetres
    content = checkpoint.load(path)
    content["data"]["class_names"] = content["data"]["joint_names"] = ["\x1b[2Jfast\n"] * 4
    checkpoint.save(tmp_path / "own.pth", content)
    result, _, messages = predict(tmp_path / "own.pth", raw / "4.npy")
    assert "\x1b" not in messages and result["recordings"][0]["predictions"][0]["class_name"] == "?[2Jfast?"


def test_a_data_entry_of_somebody_else_means_nothing(shared):
    path = shared("parity/released_finetune_tiny25.pth")
    content = checkpoint.load(path)
    for value in ("ntu60", {}, [1]):
        assert load_model.training_data(content | {"data": value}, path, {}).num_joints == 25


ODD = {  # key: [(value, what is kept of it), ...]
    "class_names": [(np.array([b"a", b"b", b"c"]), ["a", "b", "c"]), (np.arange(3), ["0", "1", "2"]), (np.array([["a"]]), None)],
    "center": [(np.zeros((3, 3)), None), (np.array([1]), 1), (np.array(2.0), 2)],
    "unit": [(np.array("mm"), None), (np.array([0.5]), 0.5), (np.longdouble(0.5), 0.5), (np.datetime64("2020"), None)],
    "joint_names": [(np.array(["a", "b"]), None)],
    "second_body": [(np.array("mirror"), None)],
}


@pytest.mark.parametrize("key", ODD)
def test_what_an_npz_says_oddly_is_understood_or_left_out(npz, arrays, key):
    for value, kept in ODD[key]:
        data = Feeder(npz(arrays | {key: value}))
        assert data.metadata().get(key) == kept
        assert [complaint.split(" is ")[0] for complaint in data.complaints] == [f"{data.data_path}: {key}"] * (kept is None)


def test_training_goes_on_without_what_is_wrong_in_an_npz(npz, arrays, options, tmp_path, capsys):
    path = npz(arrays | {"unit": np.array("mm"), "center": 1})
    main_pretrain.main(options("pretrain", path, tmp_path / "out", "--epochs", 1))
    assert f"warning: {path}: unit is " in capsys.readouterr().out
    data = checkpoint.load(tmp_path / "out/checkpoint-last.pth")["data"]
    assert "unit" not in data and data["center"] == 1
