"""Intermediate results of a preparation: a folder with a flat array of skeletons, joints.npy, and columns of data, index.npz."""

from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from util.files import written_aside

SKELETONS, INDEX = "joints.npy", "index.npz"


class IntermediateWriter:
    """Appends skeletons, and values to columns of the index. count: skeletons so far; index: {column: values}."""

    def __init__(self, file):
        self.file, self.count, self.index = file, 0, defaultdict(list)

    def add(self, skeletons=(), **columns):
        """Append skeletons (n, V, 3) as float32, and one value to each of these columns of the index."""
        self.file.write(np.ascontiguousarray(skeletons, np.float32).tobytes())
        self.count += len(skeletons)
        for name, value in columns.items():
            self.index[name].append(value)


@contextmanager
def writing(folder, num_joints):
    """Context manager of an `IntermediateWriter`. An old index is removed first and the new one written last, so that a folder
    with an index is complete."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    with written_aside(folder / SKELETONS) as file:
        _write_header(file, (0, num_joints, 3))  # numpy pads headers, so that the length can be changed below
        begin, writer = file.tell(), IntermediateWriter(file)
        yield writer
        file.seek(0)
        _write_header(file, (writer.count, num_joints, 3))
        assert file.tell() == begin, "numpy's header has no room for the final shape"
    with written_aside(folder / INDEX) as file:
        np.savez(file, **writer.index)


def _write_header(file, shape):
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def load(folder, script, keys=None):
    """(parts, index {column: array}) of a folder that `script` wrote; keys: only these columns.

    parts(counts) splits the skeletons into consecutive parts of `counts` (N,) and returns a function i -> part i, which is
    (counts[i], V, 3) float32. Raises FileNotFoundError naming the script if the folder is not complete.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder / INDEX} is missing: run {script} first (with the same --out)")
    skeletons = np.load(folder / SKELETONS, mmap_mode="r")

    def parts(counts):
        end = np.cumsum(counts)
        return lambda i: read_rows(skeletons, end[i] - counts[i], end[i])

    with np.load(folder / INDEX) as index:
        return parts, {key: index[key] for key in keys or index.files}


def read_rows(x, begin, end):
    """x[begin:end] as a copy. A memory-mapped file is read instead, because touched pages of a map would stay in memory."""
    if not isinstance(x, np.memmap) or not x.flags.c_contiguous:
        return np.array(x[begin:end])
    size = x.nbytes // len(x)
    flat = np.fromfile(x.filename, x.dtype, (end - begin) * size // x.itemsize, offset=x.offset + begin * size)
    return flat.reshape(-1, *x.shape[1:])
