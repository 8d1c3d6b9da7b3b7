"""Arrays in UmURL's format, against plain indexing and the published ones."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest

from data.umurl import umurl_arrays
from feeder.feeder_ntu import Feeder

SCRIPT = Path(__file__).resolve().parents[2] / "data/umurl/umurl_arrays.py"
NAMES = {
    "train": [f"S001C001P00{p}R001A0{a:02}.skeleton" for p in (1, 2) for a in (3, 1, 60)],
    "val": ["S001C002P003R001A002.skeleton"],
}


@pytest.fixture
def folder(tmp_path):
    """As UmURL's: 6 and 1 samples of 12 frames, of which 5 to 10 are the recording and the rest its repetition."""
    rng, out = np.random.default_rng(0), tmp_path / "data/xsub"
    out.mkdir(parents=True)
    for part, names in NAMES.items():
        np.save(out / f"{part}_data_joint.npy", rng.normal(size=(len(names), 3, 12, 25, 2)).astype(np.float32))
        np.save(out / f"{part}_num_frame.npy", 5 + np.arange(len(names)))
        with open(out / f"{part}_label.pkl", "wb") as file:
            pickle.dump((names, [int(name[17:20]) - 1 for name in names]), file)
    return out


def test_one_npz_of_a_folder(folder, tmp_path, command):
    done = command([SCRIPT, folder, "--out", tmp_path])
    assert "UMURL_NTU60_XSub.npz: 6 train, 1 test, 60 classes" in done.stdout, done.stderr
    path = tmp_path / "UMURL_NTU60_XSub.npz"
    for part, split in (("train", "train"), ("val", "test")):
        data, x = Feeder(path, split), np.load(folder / f"{part}_data_joint.npy")
        assert data.names.tolist() == [name[:20] for name in NAMES[part]] and data.num_classes == 60
        assert data.label.tolist() == [int(name[17:20]) - 1 for name in NAMES[part]]
        assert data.groups.tolist() == [name[8:12] for name in NAMES[part]] and data.layout == "kinect_v2"
        for i in range(len(x)):
            frames = data.frames(i).reshape(-1, 2, 25, 3)
            places = itertools.product(range(5 + i), range(2), range(25))
            assert len(frames) == 5 + i and all((frames[t, m, v] == x[i, :, t, v, m]).all() for t, m, v in places)


def test_the_published_arrays(shared, tmp_path):
    with np.load(shared("parity/umurl_ntu60.npz")) as file:
        arrays = dict(file)
    for part in ("train", "val"):
        np.save(tmp_path / f"{part}_data_joint.npy", arrays[f"xview/{part}/joint"])
        np.save(tmp_path / f"{part}_num_frame.npy", arrays[f"xview/{part}/num_frame"])
        pair = arrays[f"xview/{part}/names"].tolist(), arrays[f"xview/{part}/labels"].tolist()
        (tmp_path / f"{part}_label.pkl").write_bytes(pickle.dumps(pair))
    data = Feeder(umurl_arrays.generate(tmp_path, tmp_path / "out", name="mine.v2.npz"), "test")
    assert Path(data.data_path).name == "mine.v2.npz" and data.label.tolist() == arrays["xview/val/labels"].tolist()
    for i, frames in enumerate(arrays["xview/val/num_frame"]):
        own = data.frames(i).reshape(frames, 2, 25, 3).transpose(3, 0, 2, 1)
        assert (own == arrays["xview/val/joint"][i][:, :frames]).all()


def test_a_part_alone(folder, tmp_path, capsys):
    for file in folder.glob("val_*"):
        file.unlink()
    path = umurl_arrays.generate(folder, tmp_path)
    assert "has no val_data_joint.npy or test_data_joint.npy; the npz has no test split" in capsys.readouterr().out
    assert Feeder(path).count_frames().tolist() == [5, 6, 7, 8, 9, 10]
    (folder / "train_num_frame.npy").unlink()
    assert Feeder(umurl_arrays.generate(folder, tmp_path)).count_frames().tolist() == [12] * 6
    assert "no train_num_frame.npy: all frames that are not zero are valid" in capsys.readouterr().out


def test_what_cannot_be_used_is_listed(folder, tmp_path):
    x = np.load(folder / "train_data_joint.npy")
    x[1, 0, 0, 0, 0], x[3] = np.nan, 0
    x[0, :, 5:] = np.nan  # beyond the recording, which has 5 frames
    np.save(folder / "train_data_joint.npy", x)
    path = umurl_arrays.generate(folder, tmp_path)
    lines = (tmp_path / f"raw_data/{path.stem}_skipped.txt").read_text().splitlines()
    assert len(lines) == 2 and "not finite" in lines[0] and "all coordinates are zero" in lines[1]
    assert [name[:20] for i, name in enumerate(NAMES["train"]) if i not in (1, 3)] == Feeder(path).names.tolist()


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("train_num_frame.npy", np.full(6, 13), "row 0 is 13 frames; the arrays have 12"),
        ("train_num_frame.npy", np.ones(5), r"not one whole number for each of 6"),
        ("train_label.pkl", ([*"abcde"], [0] * 5), "5 names and 5 labels for 6 sequences"),
        ("train_label.pkl", [0] * 6, r"not the pair \(names, labels\)"),
        ("train_label.pkl", ([*"abcdef"], [0, 1, 2, 3, 4, -1]), "row 5 has the label -1"),
        ("train_label.pkl", None, "train_label.pkl: no such file"),
        ("train_data_joint.npy", np.ones((6, 12, 150), np.float32), "6 x 12 x 150 of type float32, not samples x 3 x frames"),
        ("train_data_joint.npy", np.array([{}] * 6), "not a complete npy file of numbers"),
        ("train_data_joint.npy", b"", "train_data_joint.npy: not a complete npy file of numbers"),
        ("train_num_frame.npy", b"", "train_num_frame.npy: not a complete npy file of numbers"),
        ("val_data_joint.npy", np.ones((1, 3, 12, 20, 2)), "train and test differ in frames, joints or bodies"),
    ],
)
def test_bad_folders_are_one_line(folder, tmp_path, name, content, message):
    (folder / name).unlink()
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    elif content is not None:
        np.save(folder / name, content) if name.endswith("npy") else (folder / name).write_bytes(pickle.dumps(content))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        umurl_arrays.generate(folder, tmp_path / "out")
    assert not list(tmp_path.rglob("*.npz"))
