"""What a step hands to the next: one flat array of skeletons and an index of what stands where, in a folder."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np

from util.files import written_aside

SKELETONS, INDEX = "joints.npy", "index.npz"


@contextmanager
def writing(folder, num_joints):
    """Gives (add, index): add(rows) appends (n, V, 3) float32 skeletons; the block fills the dict `index` with arrays.

    The index is written last, and the old one goes first: a folder with an index is complete.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INDEX).unlink(missing_ok=True)
    count, index = 0, {}

    def add(rows):
        nonlocal count
        file.write(np.ascontiguousarray(rows, np.float32).tobytes())
        count += len(rows)

    with written_aside(folder / SKELETONS) as file:
        _header(file, (0, num_joints, 3))
        length = file.tell()
        yield add, index
        file.seek(0)
        _header(file, (count, num_joints, 3))
        assert file.tell() == length, "numpy's header has no room for the final shape"
    with written_aside(folder / INDEX) as file:
        np.savez(file, **index)


def _header(file, shape):
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


class Skeletons:
    """The skeletons of a folder; [a:b] reads rows a to b, (b − a, V, 3) float32, and keeps nothing (a map's pages would stay)."""

    def __init__(self, path):
        array = np.load(path, mmap_mode="r")
        self.path, self.shape, self.begin = path, array.shape, array.offset

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(self.shape[0])
        row = int(np.prod(self.shape[1:]))
        values = np.fromfile(self.path, "<f4", (stop - start) * row, offset=self.begin + 4 * start * row)
        return values.reshape(-1, *self.shape[1:])


def load(folder, script, keys=None):
    """(`Skeletons`, index {name: array}, or only its `keys`) of a folder that `script` made.

    Raises FileNotFoundError naming the script if the folder is not complete.
    """
    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"{folder / INDEX} is missing: run {script} first (with the same --out)")
    with np.load(folder / INDEX) as index:
        return Skeletons(folder / SKELETONS), {key: index[key] for key in keys or index.files}
