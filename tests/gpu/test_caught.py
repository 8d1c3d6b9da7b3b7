"""The rehearsal catches what it is for: operations that wait for the GPU, and those that would fail on one."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from tests.gpu.rehearsal import CUDA


@pytest.mark.parametrize(
    "function, error, message",
    [
        (lambda x: x + torch.arange(len(x)), RuntimeError, "cuda:0"),
        (lambda x: torch.from_numpy(np.abs(x.numpy())), TypeError, "can't convert cuda:0"),
    ],
)
def test_what_would_fail_on_a_gpu_fails(function, error, message, rehearsal):
    with rehearsal, pytest.raises(error, match=message):
        function(torch.zeros(4, device=CUDA))


@pytest.mark.parametrize(
    "function, count",
    [
        (lambda x: x.sum().item(), 1),
        (lambda x: x.cpu().numpy(), 1),
        (lambda x: x.to("cpu", non_blocking=True), 1),
        (lambda x: x[torch.tensor([0, 1])], 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x.unique(), 1),
        (lambda x: x.index_put_((torch.tensor([0]),), x[0]), 1),
        (lambda x: torch.cuda.synchronize(), 1),
        (lambda x: torch.ones(3).to(x.device), 1),
        (lambda x: torch.from_numpy(np.ones(3)).to(x.device, non_blocking=True), 0),
        (lambda x: x[torch.arange(2, device=x.device)] + x[1:3] * 2, 0),
        (lambda x: x.to(x.device).to(torch.bfloat16).argsort(), 0),
    ],
)
def test_what_waits(rehearsal, function, count):
    with rehearsal:
        function(torch.zeros(4, device=CUDA))
    assert rehearsal.waits.total() == count


def test_batches_can_be_pinned(rehearsal, monkeypatch):
    """As the loader does on a machine with a GPU, where these tests run, too."""
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    with rehearsal:
        (batch,) = DataLoader([torch.ones(3)] * 2, batch_size=2, pin_memory=True)
        assert batch.to(CUDA).shape == (2, 3)
