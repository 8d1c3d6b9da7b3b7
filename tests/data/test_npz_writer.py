import zipfile

import numpy as np
import pytest

from data.prepare import intermediate
from feeder.npz import Split, open_npz, write_dataset


def splits(count=3):
    rng = np.random.default_rng(0)
    train = [rng.normal(size=(n, 12)).astype(np.float32) for n in (4, 6, 1)]
    test = [rng.normal(size=(5, 6)).astype(np.float32)]
    return (
        train,
        test,
        {
            "train": Split(["a", "bb", "ccc"], np.array([1, 0, 3]), iter(train[:count]), ["P1", "P2", "P1"]),
            "test": Split(["d"], np.array([2]), iter(test), ["P003"]),
        },
    )


def write(path, **changes):
    train, test, parts = splits(**changes)
    write_dataset(path, parts, num_frames=6, num_classes=4, num_joints=2, num_bodies=2, layout="kinect_v1")
    return train, test


def test_schema(tmp_path):
    train, test = write(tmp_path / "new" / "x.npz")
    with np.load(tmp_path / "new" / "x.npz") as npz:
        arrays = dict(npz)
    assert {k: (v.shape, v.dtype.str) for k, v in arrays.items()} == {
        "x_train": ((3, 6, 12), "<f4"),
        "y_train": ((3, 4), "|u1"),
        "x_test": ((1, 6, 12), "<f4"),
        "y_test": ((1, 4), "|u1"),
        "num_joints": ((), "<i8"),
        "num_bodies": ((), "<i8"),
        "layout": ((), "<U9"),
        "name_train": ((3,), "<U3"),
        "valid_frames_train": ((3,), "<i4"),
        "name_test": ((1,), "<U1"),
        "valid_frames_test": ((1,), "<i4"),
        "group_train": ((3,), "<U2"),
        "group_test": ((1,), "<U4"),
    }
    for i, sequence in enumerate(train):
        np.testing.assert_array_equal(arrays["x_train"][i, : len(sequence)], sequence)
        assert not arrays["x_train"][i, len(sequence) :].any()
    np.testing.assert_array_equal(arrays["x_test"][0, :5], np.hstack([test[0], np.zeros((5, 6))]))  # no second body
    assert arrays["y_train"].tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert arrays["valid_frames_train"].tolist() == [4, 6, 1] and arrays["name_train"].tolist() == ["a", "bb", "ccc"]
    assert (arrays["num_joints"], arrays["num_bodies"], arrays["layout"]) == (2, 2, "kinect_v1")


def test_maps_are_aligned_and_the_zip_is_sound(tmp_path):
    write(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        assert archive.testzip() is None
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
    maps, loaded = open_npz(tmp_path / "x.npz"), np.load(tmp_path / "x.npz")
    assert list(maps) == loaded.files
    for key, array in maps.items():
        assert array.ctypes.data % 64 == 0, key
        np.testing.assert_array_equal(array, loaded[key])


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.npz"
    write(path)
    before = path.read_bytes()
    train, test, parts = splits()
    parts["train"].sequences = map(lambda i: train[i] if i < 2 else 1 / 0, range(3))
    with pytest.raises(ZeroDivisionError):
        write_dataset(path, parts, 6, 4, 2, 2, "kinect_v1")
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_store_gives_back_what_was_added(tmp_path):
    rows = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
    with intermediate.writing(tmp_path, num_joints=2) as writer:
        writer.add(rows[:3], name="a")
        writer.add(rows[3:], name="b")
    parts, index = intermediate.load(tmp_path, "step")
    part = parts(np.array([1, 0, 3, 1]))
    for i, (begin, end) in enumerate(((0, 1), (1, 1), (1, 4), (4, 5))):
        np.testing.assert_array_equal(part(i), rows[begin:end])
    assert index["name"].tolist() == ["a", "b"]


def test_an_interrupted_store_is_not_taken_for_complete(tmp_path):
    test_store_gives_back_what_was_added(tmp_path)
    with pytest.raises(KeyboardInterrupt), intermediate.writing(tmp_path, num_joints=2) as writer:
        writer.add(np.zeros((1, 2, 3)))
        raise KeyboardInterrupt
    with pytest.raises(FileNotFoundError, match="index.npz is missing: run step.py first"):
        intermediate.load(tmp_path, "step.py")
