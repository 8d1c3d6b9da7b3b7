import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data.prepare import ucla

SCRIPT = Path(__file__).resolve().parents[2] / "data" / "ucla" / "ucla_gendata.py"


def record(frames=5, label=1, seed=0):
    joints = np.random.default_rng(seed).normal(size=(frames, 20, 3))
    return {"file_name": "x", "skeletons": joints.tolist(), "label": label}


@pytest.fixture
def raw(tmp_path):
    """A folder of three good recordings, one per view; the test may add to it."""
    folder = tmp_path / "all_sqe"
    folder.mkdir()
    for view, frames in ((1, 5), (2, 7), (3, 1)):
        name = f"a{4 - view:02}_s01_e00_v{view:02}.json"
        (folder / name).write_text(json.dumps(record(frames, label=11 - view, seed=view)))
    return folder


def test_schema_split_and_order(raw, tmp_path):
    with np.load(ucla.generate(raw, tmp_path / "out")) as npz:
        assert npz["x_train"].shape == (2, 7, 60) and npz["x_test"].shape == (1, 7, 60)
        assert npz["name_train"].tolist() == ["a02_s01_e00_v02", "a03_s01_e00_v01"]  # by name, not by view
        assert npz["y_train"].argmax(1).tolist() == [8, 9] and npz["y_test"].argmax(1).tolist() == [7]
        assert npz["y_train"].shape == (2, 10)
        assert npz["valid_frames_train"].tolist() == [7, 5] and npz["valid_frames_test"].tolist() == [1]
        assert (npz["num_joints"], npz["num_bodies"], npz["layout"]) == (20, 1, "kinect_v1")
        joints = np.array(record(7, seed=2)["skeletons"])
        np.testing.assert_allclose(npz["x_train"][0], (joints - joints[0, 1]).reshape(7, 60), atol=1e-6)


def test_zip_and_folder_are_the_same(raw, tmp_path):
    path = tmp_path / "nw.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in raw.iterdir():
            archive.write(file, f"all_sqe/{file.name}")
        archive.writestr("__MACOSX/all_sqe/._a01_s01_e00_v01.json", "junk")
    assert ucla.generate(raw, tmp_path / "a").read_bytes() == ucla.generate(path, tmp_path / "b").read_bytes()


def test_test_sequences_that_are_training_sequences(raw, tmp_path, capsys):
    (raw / "a09_s02_e00_v03.json").write_text((raw / "a02_s01_e00_v02.json").read_text())
    nearly = json.loads((raw / "a02_s01_e00_v02.json").read_text())
    nearly["skeletons"][3][4][1] += 1e-5
    (raw / "a09_s02_e01_v03.json").write_text(json.dumps(nearly))
    names = ["a01_s01_e00_v03", "a09_s02_e00_v03", "a09_s02_e01_v03"]
    with np.load(ucla.generate(raw, tmp_path)) as npz:
        assert npz["name_test"].tolist() == names
    assert "1 of the test sequences are equal to training sequences; --unique" in capsys.readouterr().out
    path = ucla.generate(raw, tmp_path, body_frame=True, unique=True)
    with np.load(path) as npz:
        assert path.name == "UCLA_XView_body_unique.npz" and npz["name_test"].tolist() == names[::2]
        assert len(npz["y_test"]) == len(npz["x_test"]) == len(npz["group_test"]) == 2 and len(npz["x_train"]) == 2


def test_align_turns_about_the_vertical_only():
    joints = np.random.default_rng(5).normal(size=(6, 20, 3))
    joints[:, 1] = 0  # the origin
    turned = ucla.face_front(joints + (1, 2, 3))
    across = turned[0, 8] - turned[0, 4]
    assert across[0] > 0 and across[2] == pytest.approx(0, abs=1e-12)
    # one rotation about y for the whole sequence: x + iz times a fixed number of size 1
    before, after = (j[..., 0] + 1j * j[..., 2] for j in (joints, turned))
    shoulders = before[0, 8] - before[0, 4]
    np.testing.assert_allclose(after, before * abs(shoulders) / shoulders, atol=1e-12)
    np.testing.assert_allclose(turned[..., 1], joints[..., 1], atol=1e-12)


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("a01_s01_e01_v01", '{"label": 1, "skeletons": [[[0.1', "not valid JSON"),
        ("a01_s01_e01_v01", "[" * 100000, "not valid JSON"),
        ("a01_s01_e01_v01", "[1, 2]", "needs the keys 'skeletons' and 'label'"),
        ("a01_s01_e01_v01", {"skeletons": np.zeros((3, 25, 3)).tolist(), "label": 1}, "3 x 25 x 3 instead of T x"),
        ("a01_s01_e01_v01", {"skeletons": [[[1, 2, 3]], [[1, 2]]], "label": 1}, "not an array of numbers"),
        ("a01_s01_e01_v01", {"skeletons": np.full((3, 20, 3), np.nan).tolist(), "label": 1}, "frame 0, joint 0 has a coordinate"),
        ("a01_s01_e01_v01", {"skeletons": np.full((3, 20, 3), 1e300).tolist(), "label": 1}, "is not a finite number"),
        ("a01_s01_e01_v01", record(label=11), "label 11 is not one of 1..10"),
        ("a01_s01_e01_v01", record(label="1"), "label '1' is not"),
        ("a01_s01_e01_v01", record(label=True), "label True is not"),
        ("a01_s01_e01_v04", record(), "with view 01, 02 or 03"),
        ("a1_s1_e1_v1", record(), "not a name of the form"),
    ],
)
def test_unusable_files_are_one_line_each(raw, tmp_path, name, content, reason):
    content = json.dumps(content) if isinstance(content, dict) else content
    (raw / f"{name}.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert len(np.load(ucla.generate(raw, tmp_path))["x_train"]) == 2
    lines = (tmp_path / "raw_data" / "skipped.txt").read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"{raw / name}.json: ") and reason in lines[0]
    with pytest.raises(ValueError, match=name):
        ucla.generate(raw, tmp_path, strict=True)


def spoilt_zip(path, members, spoilt, how):
    """A zip of {name: text} whose member `spoilt` says that it is encrypted, or compressed in an unknown way, or is damaged."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
        header = archive.getinfo(spoilt).header_offset
    content = bytearray(path.read_bytes())
    central = content.rindex(b"PK\1\2", 0, content.rindex(spoilt.encode()))
    if how == "damaged":
        begin = header + 30 + len(spoilt)
        content[begin : begin + 20] = bytes(20)
    else:  # offsets of the flags, and of the method, in the local and the central header
        local, other = (6, 8) if how == "encrypted" else (8, 10)
        content[header + local] = content[central + other] = 1 if how == "encrypted" else 9
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("how", ["encrypted", "unknown method", "damaged"])
def test_what_a_zip_holds_damaged_is_a_line(how, raw, tmp_path):
    members = {file.name: file.read_text() for file in sorted(raw.iterdir())} | {"a01_s02_e01_v01.json": json.dumps(record())}
    path = spoilt_zip(tmp_path / "a.zip", members, "a01_s02_e01_v01.json", how)
    assert len(np.load(ucla.generate(path, tmp_path))["x_train"]) == 2
    (line,) = (tmp_path / "raw_data/skipped.txt").read_text().splitlines()
    assert line.startswith(f"{path}/a01_s02_e01_v01.json: cannot be read from its zip (")


def test_command_line(raw, tmp_path, command):
    done = command([SCRIPT, "--raw", raw, "--out", tmp_path / "out", "--align"])
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.npz")] == ["UCLA_XView_align.npz"]
    (tmp_path / "cut.zip").write_bytes(b"PK\3\4 broken")
    for bad, reason in (("none", "no such folder or zip"), (".", "no .json file"), ("cut.zip", "nor a complete zip")):
        done = command([SCRIPT, "--raw", tmp_path / bad, "--out", tmp_path])
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and reason in done.stderr


def test_the_release(shared, tmp_path):
    """Published counts; some sequences once more by plain arithmetic."""
    path = shared("realdata/nw_ucla_all_sqe.zip")
    with np.load(ucla.generate(path, tmp_path)) as npz:
        arrays = dict(npz)
    assert arrays["x_train"].shape == (1020, 201, 60) and arrays["x_test"].shape == (464, 201, 60)
    names = arrays["name_train"].tolist() + arrays["name_test"].tolist()
    assert len(set(names)) == 1484 and names[:1020] == sorted(names[:1020]) and names[1020:] == sorted(names[1020:])
    assert {name[-1] for name in names[:1020]} == {"1", "2"} and {name[-1] for name in names[1020:]} == {"3"}
    assert arrays["valid_frames_train"].min() == arrays["valid_frames_test"].min() == 1
    with zipfile.ZipFile(path) as archive:
        for row in range(0, 1020, 97):
            data = json.loads(archive.read(f"all_sqe/{arrays['name_train'][row]}.json"))
            origin = data["skeletons"][0][1]
            flat = [[joint[c] - origin[c] for joint in frame for c in range(3)] for frame in data["skeletons"]]
            assert arrays["valid_frames_train"][row] == len(flat)
            assert arrays["y_train"][row].argmax() == data["label"] - 1
            np.testing.assert_array_equal(arrays["x_train"][row, : len(flat)], np.array(flat, dtype=np.float32))
