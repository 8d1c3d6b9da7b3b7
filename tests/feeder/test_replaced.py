"""An npz that becomes another one while a run has it mapped: one line, and never a batch that mixes the two."""

import argparse
import copy
import os

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


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("change", [renamed, written_to, written_anew, removed])
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


@pytest.mark.parametrize("change", [renamed, written_to, written_anew, removed])
def test_resident_data_do_not_care(change, files):
    path, other = files
    expected = [x for x, _, _ in loader(path, 0)]
    batches = loader(path, 0, on_device=True)
    change(path, other)
    assert all(torch.equal(x, y) for (x, _, _), y in zip(batches, expected, strict=True))


def test_a_single_sequence_is_checked_too(files):
    data = Feeder(files[0], window_size=8, min_frames=4)
    data.frames(0)
    renamed(*files)
    for read in (data.frames, data.get):
        with pytest.raises(ValueError, match="was replaced"):
            read(0)


def test_a_worker_that_opens_another_file(files):
    """What a worker gets by spawn or forkserver is a pickled Feeder."""
    data = Feeder(files[0], window_size=8, min_frames=4)
    state = data.__getstate__()
    assert np.array_equal(copy.copy(data).frames(0), data.frames(0))
    renamed(*files)
    with pytest.raises(ValueError, match="was replaced"):
        Feeder.__new__(Feeder).__setstate__(state)


def test_changed_while_a_batch_is_read(files, monkeypatch):
    data = Feeder(files[0], window_size=8, min_frames=4)
    read = data._frames

    def slowly(index):
        if index == 1:
            written_to(*files)
        return read(index)

    monkeypatch.setattr(data, "_frames", slowly)
    with pytest.raises(ValueError, match="was replaced"):
        data.collect(np.arange(2), np.zeros((2, 5)))
