"""The rehearsal catches what it is for: code of ours made worse fails it."""

import sys

import numpy as np
import pytest
import torch

from feeder import loader
from feeder.loader import build_feeder
from model import build
from model.mamp import MAMP
from tests.gpu.rehearsal import CUDA
from tests.gpu.test_training import ALWAYS, STEPS, epoch
from util import engine


@pytest.fixture
def waits(rehearsal, arguments):
    """waits() -> those of an epoch of pre-training; test_training.py shows that they are ALWAYS."""

    def rehearse():
        args = arguments("pretrain")
        data = build_feeder(args, "train", augment=True, views=build.views(args))
        return epoch(rehearsal, args, *build.pretrainer(args, data, CUDA), data)

    return rehearse


def after(monkeypatch, owner, name, change):
    """owner.name gives change(what it gave)."""
    function = getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **named: change(function(*args, **named)))


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda x: x + torch.arange(x.shape[1]), RuntimeError, "cuda:0"),
        (lambda x: torch.from_numpy(np.abs(x.numpy())), TypeError, "can't convert cuda:0"),
    ],
)
def test_what_would_fail_on_a_gpu_fails(monkeypatch, waits, change, error, message):
    after(monkeypatch, MAMP, "motion_intensity", change)
    with pytest.raises(error, match=message):
        waits()


@pytest.mark.parametrize("change", [lambda x: x.cpu().to(x.device, non_blocking=True), lambda x: x[np.arange(len(x))]])
def test_a_wait_in_the_model(monkeypatch, waits, change):
    after(monkeypatch, MAMP, "motion_intensity", change)
    assert waits() == ALWAYS | {"model/mamp.py masking_scores": STEPS}


def test_a_wait_in_the_engine(monkeypatch, waits):
    adjust = engine.adjust_learning_rate  # called once before the first step, and once in each

    def waiting(optimizer, *rest):
        optimizer.param_groups[0]["params"][0].sum().item()
        return adjust(optimizer, *rest)

    monkeypatch.setattr(engine, "adjust_learning_rate", waiting)
    assert waits() == ALWAYS | {"util/engine.py train_one_epoch": STEPS + 1}


def test_data_that_are_waited_for(monkeypatch, waits):
    real, own = torch.Tensor.to, loader.__file__

    def to(tensor, *where, **how):
        return real(tensor, *where, **{} if sys._getframe(1).f_code.co_filename == own else how)

    monkeypatch.setattr(torch.Tensor, "to", to)
    assert waits() == ALWAYS | {"feeder/loader.py __iter__": 5 * STEPS}  # frames, where they begin, how many, rotation, label


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
        (lambda x: torch.from_numpy(np.ones(3)).to(x.device, non_blocking=True), 0),
        (lambda x: x[torch.arange(2, device=x.device)] + x[1:3] * 2, 0),
        (lambda x: x.to(x.device).to(torch.bfloat16).argsort(), 0),
    ],
)
def test_what_waits(rehearsal, function, count):
    with rehearsal:
        function(torch.zeros(4, device=CUDA))
    assert rehearsal.waits.total() == count
