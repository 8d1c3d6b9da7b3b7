"""An npz that becomes another one while a run has it mapped: one line, and never a batch that mixes the two."""

import argparse
import copy
import os
import pickle

import numpy as np
import pytest
import torch

from feeder.feeder_ntu import Feeder
from feeder.loader import train_loader


def renamed(path, other):
    os.replace(other, path)


def written_to(path, other):
    """Byte by byte over the old content, as rsync --inplace does: the size stays."""
    with open(path, "r+b") as file:
        file.write(other.read_bytes())


def written_anew(path, other):
    """As cp and np.savez do: for a moment the file is empty, and a map of it would end the process with SIGBUS."""
    path.write_bytes(other.read_bytes()[:1000])


def removed(path, other):
    path.unlink()


@pytest.fixture
def files(npz, arrays):
    """(path, another npz of the same size whose frames are all 7)"""
    other = copy.deepcopy(arrays)
    other["x_train"][:] = 7
    return npz(arrays), npz(other, "other.npz")


def loader(path, workers, on_device=False):
    args = argparse.Namespace(batch_size=2, accum_iter=1, seed=0, num_workers=workers, data_on_device=on_device)
    return train_loader(Feeder(path, window_size=8, min_frames=4), args, torch.device("cpu"))


@pytest.mark.parametrize(
    "change, workers", [(renamed, 0), (written_to, 0), (written_anew, 0), (removed, 0), (written_to, 1), (removed, 1)]
)
def test_one_line_and_no_mixture(change, workers, files):
    path, other = files
    assert path.stat().st_size == other.stat().st_size
    batches, seen = loader(path, workers), []
    with pytest.raises(ValueError, match="data.npz: was replaced, changed or removed while it was in use; start again"):
        for x, _, _ in batches:
            if not seen:
                change(path, other)
            seen.append(x)
    assert 1 <= len(seen) < len(batches)  # what a worker had collected before
    assert not any((x == 7).any() for x in seen)


@pytest.mark.parametrize("change", [written_to, removed])
def test_resident_data_do_not_care(change, files):
    expected = [x for x, _, _ in loader(files[0], 0)]
    batches = loader(files[0], 0, on_device=True)
    change(*files)
    assert all(torch.equal(x, y) for (x, _, _), y in zip(batches, expected, strict=True))


def test_single_sequences_and_workers_that_open_the_file_themselves_are_checked_too(files):
    data = Feeder(files[0], window_size=8, min_frames=4)
    packed = pickle.dumps(data)  # what a worker gets by spawn or forkserver
    assert np.array_equal(pickle.loads(packed).frames(0), data.frames(0))
    renamed(*files)
    for read in (lambda: data.frames(0), lambda: data.get(0), lambda: pickle.loads(packed)):
        with pytest.raises(ValueError, match="was replaced"):
            read()


def test_changed_while_a_batch_is_read(files):
    class Rows(np.ndarray):
        """Positions, of which the second is asked for when the file changes."""

        def __iter__(self):
            yield 0
            written_to(*files)
            yield 1

    data = Feeder(files[0], window_size=8, min_frames=4)
    with pytest.raises(ValueError, match="was replaced"):
        data.collect(np.arange(2).view(Rows), np.zeros((2, 5)))
