"""Several crops of every sample (UmURL)."""

import numpy as np
import pytest
import torch

from feeder.batch import Draws, Resident, uniforms
from feeder.feeder_ntu import Feeder


@pytest.fixture
def feeders(invented):
    options = dict(window_size=8, p_interval=[0.1, 1.0], min_frames=4)
    return Feeder(invented, "train", views=4, **options), Feeder(invented, "train", **options)


@pytest.mark.parametrize("resident", [False, True])
def test_each_view_is_a_crop_of_its_own(feeders, resident):
    """View v of sample i is what the feeder of one view makes of the sample with the v-th part of its random numbers."""
    several, single = feeders
    data = Resident(several, torch.device("cpu")) if resident else several
    indices, table = np.array([5, 0, 17]), uniforms(3, 1, len(several), views=4)
    tensors, labels, rows = data.collect(indices, table[indices])
    x = data.make(*tensors)
    assert x.shape == (3, 4, 3, 8, 5, 1) and rows.tolist() == indices.tolist() and len(labels) == 3
    for n, i in enumerate(indices):
        for view in range(4):
            expected, label, row = single.get(i, Draws(table[i].reshape(4, 5)[view]))
            assert torch.allclose(x[n, view], expected, atol=1e-6) and label == labels[n] and row == i
    assert len({round(v.sum().item(), 4) for v in x[0]}) > 1


def test_one_view_draws_as_before():
    assert np.array_equal(uniforms(3, 1, 7), uniforms(3, 1, 7, views=1))
    table = uniforms(3, 1, 1000, views=4)
    assert table.shape == (1000, 20) and abs(table.mean() - 0.5) < 0.01 and len(np.unique(table)) == table.size
