"""Every kind of input, one's own data, and files that cannot be used."""

import pickle
import shutil

import numpy as np
import pytest

from tests.predict.helpers import MAMP, evaluated, shares, softmax, trained_on
from util import checkpoint


@pytest.fixture
def person():
    """(T, V, 3) metres, float32: somebody around the origin at the first spine, who moves."""
    rng = np.random.default_rng(1)
    joints = rng.normal(size=(1, 25, 3)) + 0.3 * np.cumsum(rng.normal(size=(40, 25, 3)), axis=0)
    return (joints - joints[0, 1]).astype(np.float32)


def test_the_same_joints_in_every_kind_of_file(mamp, person, predict, tmp_path):
    two = np.zeros((40, 2, 25, 3), np.float32)
    two[:, 0] = person
    np.save(tmp_path / "a.npy", person)
    np.save(tmp_path / "b.npy", two.swapaxes(0, 1).astype(np.float64) + np.float64(0))
    np.savez(tmp_path / "c.npz", one=person, two=two.swapaxes(0, 1))
    np.savez_compressed(tmp_path / "d.npz", person)
    (tmp_path / "e.txt").write_text("\n".join(" ".join(map(repr, map(float, row))) for row in two.reshape(40, -1)))
    x = np.zeros((2, 50, 150), np.float32)
    x[0, :40] = x[1, :40] = two.reshape(40, -1)
    np.savez(tmp_path / "f.npz", x_test=x, y_test=np.eye(60)[:2], x_train=x, y_train=np.eye(60)[:2])
    note = {"frame_dir": "S001", "label": 0, "total_frames": 40, "keypoint": person[None]}
    with open(tmp_path / "g.pkl", "wb") as file:
        pickle.dump({"split": {}, "annotations": [note, note | {"frame_dir": "S002"}]}, file)
    with open(tmp_path / "h.npy", "wb") as file:  # millimetres, somewhere in the room
        np.save(file, (person + np.float32([1, 2, 3])).astype(np.float64) * 1000)
    result, code, messages = predict(mamp, tmp_path / "h.npy", "--unit", "mm")
    assert code == 0, messages
    expected = shares(result["recordings"][0])
    result, code, messages = predict(mamp, *sorted(tmp_path.glob("[a-g].*")))
    assert code == 0, messages
    names = "a.npy,b.npy,c.npz: one,c.npz: two,d.npz: arr_0,e.txt,f.npz: 0,f.npz: 1,g.pkl: S001,g.pkl: S002".split(",")
    assert [r["name"].removeprefix(f"{tmp_path}/") for r in result["recordings"]] == names
    for recording in result["recordings"]:
        assert recording["frames"] == 40
        np.testing.assert_allclose(shares(recording), expected, atol=1e-5, err_msg=recording["name"])


def test_a_folder_is_all_its_recordings_and_what_is_empty_is_named(mamp, raw, predict):
    result, code, messages = predict(mamp, raw)
    names = sorted(map(str, raw.glob("*.skeleton")))
    assert [recording["name"] for recording in result["recordings"]] == [n for n in names if n not in result["failed"][0]]
    assert code == 2 and len(result["failed"]) == 1 and "no frame has a body" in messages


@pytest.fixture
def own(tmp_path, arrays):
    """(classifier, npz) of 5 joints, 1 body and 3 classes, bones by an own tree."""
    npz = tmp_path / "mine.npz"
    np.savez(
        npz,
        **arrays,
        parents=np.array([0, 0, 1, 1, 3]),
        class_names=np.array(["slow", "fast", "still"]),
        joint_names=np.array(["hip", "chest", "head", "arm", "hand"]),
    )
    return trained_on(npz, tmp_path / "own.pth", "linprobe", *MAMP, "--input_stream", "bone"), npz


def without_data(path):
    """What checkpoints were before they kept what there is to know of their data."""
    content = checkpoint.load(path)
    del content["data"]
    checkpoint.save(path, content)


def test_own_data_of_an_older_checkpoint_are_known_by_their_npz(own, arrays, predict, tmp_path):
    path, npz = own
    without_data(path)
    scores = evaluated("linprobe", path, npz, tmp_path / "eval")
    length = arrays["valid_frames_test"][0]
    np.save(tmp_path / "one.npy", arrays["x_test"][0, :length].reshape(length, 5, 3))
    result, code, _ = predict(path, tmp_path / "one.npy")
    np.testing.assert_allclose(shares(result["recordings"][0]), softmax(scores["test000"]), atol=2e-6)
    assert {row["class_name"] for row in result["recordings"][0]["predictions"]} == {"slow", "fast", "still"}
    shutil.move(npz, tmp_path / "elsewhere.npz")
    with pytest.raises(ValueError, match="own.pth: has 5 joints, .*mine.npz, is not here .*--data_path"):
        predict(path, tmp_path / "one.npy")
    again, _, _ = predict(path, tmp_path / "one.npy", "--data_path", tmp_path / "elsewhere.npz")
    assert again["recordings"] == result["recordings"]


def test_center_moves_the_origin_as_in_the_training_data(own, arrays, predict, tmp_path):
    path, _ = own
    joints = arrays["x_test"][0, :6].reshape(6, 5, 3)
    moved = joints - joints[0, 0]
    np.save(tmp_path / "far.npy", joints + 3)
    np.save(tmp_path / "moved.npy", moved)
    content = checkpoint.load(path)
    content["config"]["input_stream"] = "joint"  # bones do not see where the origin is
    checkpoint.save(path, content)
    far, _, _ = predict(path, tmp_path / "far.npy", "--center", "hip")
    near, _, _ = predict(path, tmp_path / "moved.npy", "--center", "none")
    other, _, _ = predict(path, tmp_path / "far.npy")
    np.testing.assert_allclose(shares(far["recordings"][0]), shares(near["recordings"][0]), atol=1e-5)
    assert np.abs(shares(other["recordings"][0]) - shares(near["recordings"][0])).max() > 1e-3
    with pytest.raises(ValueError, match="--center neck: .*hip, chest"):
        predict(path, tmp_path / "far.npy", "--center", "neck")


def test_each_bad_file_is_one_line_and_the_others_go_on(mamp, raw, person, predict, tmp_path):
    good = raw / "S001C001P002R001A008.skeleton"
    whole = good.read_bytes()
    spoilt = {
        "cut.skeleton": whole[: len(whole) // 2],
        "binary.skeleton": b"\0\1\2",
        "empty.txt": b"",
        "short.txt": b"1 2 3\n",
        "notes.docx": b"PK",
        "broken.npz": b"PK\3\4 and no more",
        "broken.npy": b"\x93NUMPY",
        "evil.pkl": pickle.dumps({"split": {}, "annotations": [print]}),
        "a01_s01_e01_v01.json": b"{}",
    }
    for name, content in spoilt.items():
        (tmp_path / name).write_bytes(content)
    nan = person.copy()
    nan[3, 4, 1] = np.nan
    odd = {"nan": nan, "zero": 0 * person, "joints": person[:, :20], "flat": person[:, 0], "none": person[:0]}
    for name, array in odd.items():
        np.save(tmp_path / f"{name}.npy", array)
        spoilt[f"{name}.npy"] = b""
    bad = [tmp_path / name for name in spoilt] + [tmp_path / "absent.npy", tmp_path / "no_folder"]
    (tmp_path / "nothing").mkdir()
    result, code, messages = predict(mamp, *bad[:7], good, *bad[7:], tmp_path / "nothing")
    lines = [line for line in messages.splitlines() if line.startswith("error:")]
    assert code == 2 and [r["name"] for r in result["recordings"]] == [str(good)]
    assert len(result["failed"]) == len(bad) + 1 == len(lines) - 1
    for path, line in zip([*bad, tmp_path / "nothing"], lines, strict=False):
        assert line.startswith(f"error: {path}") and len(line) < 300
    assert "20 joints, the model knows 25" in messages and "builtins.print" in messages
