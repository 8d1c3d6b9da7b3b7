"""--tf32: what it sets for a GPU, here without one, and that a CPU's numbers do not know of it."""

import warnings

import pytest
import torch

import main_pretrain
from tests.runs import same
from util import checkpoint
from util.engine import allow_tf32


@pytest.fixture(autouse=True)
def as_before():
    matmul, cudnn = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = matmul, cudnn


@pytest.mark.parametrize("wanted", [True, False])
def test_products_and_convolutions_get_the_same(wanted):
    for other in (not wanted, wanted):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            allow_tf32(torch.device("cuda"), other)
    assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == wanted
    assert torch.get_float32_matmul_precision() == ("high" if wanted else "highest")  # what torch.compile asks
    allow_tf32(torch.device("cpu"), not wanted)
    assert torch.backends.cuda.matmul.allow_tf32 == wanted, "a CPU is nobody's business"


def test_a_run_sets_it_and_goes_on_with_the_other_one(invented, options, tmp_path, monkeypatch):
    """On a CPU the weights are the same bits; a run that was begun before there was the option goes on, too."""
    seen = []
    monkeypatch.setattr("util.run.allow_tf32", lambda device, wanted: seen.append((device.type, wanted)))
    for name, flag in (("on", "--tf32"), ("off", "--no-tf32")):
        main_pretrain.main(options("pretrain", invented, tmp_path / name, "--epochs", 1, flag))
    on, off = (checkpoint.load(tmp_path / name / "checkpoint-last.pth") for name in ("on", "off"))
    assert same(on["model"], off["model"])
    del on["config"]["tf32"]
    checkpoint.save(tmp_path / "on/checkpoint-last.pth", on)
    main_pretrain.main(options("pretrain", invented, tmp_path / "on", "--epochs", 2, "--no-tf32", "--resume", "auto"))
    assert seen == [("cpu", True), ("cpu", False), ("cpu", False)]
