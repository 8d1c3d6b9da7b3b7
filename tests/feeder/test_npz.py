"""Arrays mapped out of an npz: the same values as numpy's own reader, and one clear line for what cannot be read."""

import warnings
import zipfile

import numpy as np
import pytest

from feeder.npz import open_npz

RNG = np.random.default_rng(0)
ARRAYS = {
    "x": RNG.normal(size=(7, 5, 3)).astype(np.float32),
    "fortran": np.asfortranarray(RNG.normal(size=(4, 6))),
    "bytes": RNG.integers(0, 255, (3, 2), dtype=np.uint8),
    "names": np.array(["a", "sample two", "ü"]),
    "scalar": np.int64(25),
    "layout": np.array("kinect_v2"),
    "nothing": np.zeros((0, 4), np.float32),
}


def with_other_headers(path, **arrays):
    """Without numpy's 64-bit extra fields, and header version 2."""
    with zipfile.ZipFile(path, "w") as archive:
        for key, value in arrays.items():
            with archive.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array(file, np.asarray(value), version=(2, 0))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed, with_other_headers])
def test_equals_numpys_reader(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of small compressed arrays nothing is said
        ours = open_npz(tmp_path / "a.npz")
    assert ours.keys() == ARRAYS.keys()
    for key, value in ARRAYS.items():
        assert np.array_equal(ours[key], value) and ours[key].dtype == np.asarray(value).dtype, key
    assert save is np.savez_compressed or all(isinstance(v, np.memmap) for k, v in ours.items() if k != "nothing")


def test_a_map_shows_the_file_not_a_copy(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **ARRAYS)
    ours = open_npz(path)["x"]
    with pytest.raises(ValueError, match="read-only"):
        ours[0] = 0
    at = path.read_bytes().index(ARRAYS["x"].tobytes())
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(np.float32(123.0).tobytes())
    assert ours[0, 0, 0] == 123


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_dict_in_the_file_is_left_out_and_arrays_of_objects_are_refused(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS, info=np.array({"made": "by me"}, dtype=object))
    with pytest.warns(UserWarning, match="a.npz: info.npy is a Python object, which is never read; left out"):
        assert open_npz(tmp_path / "a.npz").keys() == ARRAYS.keys()
    save(tmp_path / "a.npz", **ARRAYS, y=np.array([1, "a"], dtype=object))
    with pytest.raises(ValueError, match="a.npz: array 'y.npy' is not a plain npy array .it holds Python objects"):
        open_npz(tmp_path / "a.npz")


def test_large_compressed_array_warns(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x_train=np.zeros((5 << 20,), np.float32))
    with pytest.warns(UserWarning, match="a.npz.*x_train.*loaded whole"):
        assert len(open_npz(tmp_path / "a.npz")["x_train"]) == 5 << 20


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file(tmp_path, share):
    path = tmp_path / "cut.npz"
    np.savez(path, **ARRAYS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="cut.npz: not a complete npz file"):
        open_npz(path)


@pytest.mark.parametrize(
    "damage, message",
    [
        (b"(7, 5000), }", r"it says shape \(7, 5000\), more than the file holds"),
        (b"(7, 5(, }  ", "is not a plain npy array"),
        (b"(7, 5,, }  ", "is not a plain npy array"),
        (b"'7, 5), }  ", "is not a plain npy array"),
    ],
)
def test_damaged_header(tmp_path, damage, message):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros((7, 5), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(7, 5), }   "[: len(damage)], damage))
    with pytest.raises(ValueError, match=f"a.npz: array 'x.npy' .*{message}"):
        open_npz(path)


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.npz: no such npz file"):
        open_npz(tmp_path / "absent.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "hello, this is no array")
    with pytest.raises(ValueError, match="notes.txt' is not a plain npy array"):
        open_npz(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_text("not a zip")
    with pytest.raises(ValueError, match="a.npz: not a complete npz file"):
        open_npz(tmp_path / "a.npz")
