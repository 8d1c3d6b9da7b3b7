"""Arrays mapped out of an npz: the same values as numpy's own reader, and one clear line for what cannot be read."""

import warnings
import zipfile

import numpy as np
import pytest

from feeder.npz import open_npz


@pytest.fixture
def things():
    rng = np.random.default_rng(0)
    return {
        "x": rng.normal(size=(7, 5, 3)).astype(np.float32),
        "fortran": np.asfortranarray(rng.normal(size=(4, 6))),
        "bytes": rng.integers(0, 255, (3, 2), dtype=np.uint8),
        "names": np.array(["a", "sample two", "ü"]),
        "scalar": np.int64(25),
        "layout": np.array("kinect_v2"),
        "nothing": np.zeros((0, 4), np.float32),
    }


def assert_same(ours, things):
    assert ours.keys() == things.keys()
    for key, value in things.items():
        assert np.array_equal(ours[key], value) and ours[key].dtype == np.asarray(value).dtype, key


def test_equals_numpys_reader_and_is_mapped(tmp_path, things):
    np.savez(tmp_path / "a.npz", **things)
    ours = open_npz(tmp_path / "a.npz")
    assert_same(ours, things)
    assert all(isinstance(v, np.memmap) for k, v in ours.items() if k != "nothing")
    with pytest.raises(ValueError, match="read-only"):
        ours["x"][0] = 0


def test_a_map_shows_the_file_not_a_copy(tmp_path, things):
    path = tmp_path / "a.npz"
    np.savez(path, **things)
    ours = open_npz(path)["x"]
    content = path.read_bytes()
    at = content.index(things["x"].tobytes())
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(np.float32(123.0).tobytes())
    assert ours[0, 0, 0] == 123


def test_file_of_another_writer(tmp_path, things):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:  # without numpy's 64-bit extra fields, header version 2
        for key, value in things.items():
            with archive.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(value), version=(2, 0))
    assert_same(open_npz(tmp_path / "a.npz"), things)


def test_small_compressed_arrays_are_loaded(tmp_path, things):
    np.savez_compressed(tmp_path / "a.npz", **things)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same(open_npz(tmp_path / "a.npz"), things)


def test_large_compressed_array_warns(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x_train=np.zeros((5 << 20,), np.float32))
    with pytest.warns(UserWarning, match="a.npz.*x_train.*loaded whole"):
        assert len(open_npz(tmp_path / "a.npz")["x_train"]) == 5 << 20


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.npz: no such npz file"):
        open_npz(tmp_path / "absent.npz")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, things, share):
    path = tmp_path / "cut.npz"
    np.savez(path, **things)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="cut.npz: not a complete npz file"):
        open_npz(path)


def test_array_that_says_more_than_the_file_holds(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((7, 5), np.float32))
    content = path.read_bytes()
    path.write_bytes(content.replace(b"(7, 5), }  ", b"(7, 5000)} "))
    with pytest.raises(ValueError, match=r"a.npz: array 'x.npy' .*it says shape \(7, 5000\), more than the file holds"):
        open_npz(path)


@pytest.mark.parametrize("damage", [b"(7, 5(", b"(7, 5,", b"'7, 5)"])
def test_damaged_header(tmp_path, damage):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((7, 5), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(7, 5)", damage))
    with pytest.raises(ValueError, match="a.npz: array 'x.npy' is not a plain npy array"):
        open_npz(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_python_objects_are_never_read(tmp_path, save):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "owned"), "w"))

    save(tmp_path / "a.npz", x_train=np.array([Evil()], dtype=object))
    with pytest.raises(ValueError, match="a.npz.*x_train"):
        open_npz(tmp_path / "a.npz")
    assert not (tmp_path / "owned").exists()


def test_something_else_in_the_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "hello, this is no array")
    with pytest.raises(ValueError, match="notes.txt' is not a plain npy array"):
        open_npz(tmp_path / "a.npz")


def test_text_file(tmp_path):
    (tmp_path / "a.npz").write_text("not a zip")
    with pytest.raises(ValueError, match="a.npz: not a complete npz file"):
        open_npz(tmp_path / "a.npz")
