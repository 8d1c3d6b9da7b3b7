"""Two runs with one seed: the same bits, with and without --deterministic."""

import os

import pytest
import torch

from tests.runs import MAINS
from util import checkpoint


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)


def assert_same(*folders):
    one, *others = (checkpoint.load(folder / "checkpoint-1.pth")["model"] for folder in folders)
    for other in others:
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("stage", MAINS)
def test_two_runs_with_one_seed(stage, invented, options, tmp_path):
    for name, more in (("1", ()), ("2", ()), ("3", ("--deterministic",))):
        MAINS[stage].main(options(stage, invented, tmp_path / name, "--epochs", 2, *more))
        assert torch.are_deterministic_algorithms_enabled() == bool(more)
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == (":4096:8" if more else None)
    assert_same(*(tmp_path / name for name in "123"))
    MAINS[stage].main(options(stage, invented, tmp_path / "4", "--epochs", 2, "--seed", 1))
    with pytest.raises(AssertionError):
        assert_same(tmp_path / "1", tmp_path / "4")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("more", [(), ("--enable_amp",), ("--skip_empty_bodies",)])
@pytest.mark.parametrize("stage", MAINS)
def test_two_runs_on_a_gpu(stage, more, invented, options, tmp_path):
    """Every operation has a deterministic form; one that has none would raise a RuntimeError that names it."""
    if stage == "linprobe" and "--skip_empty_bodies" in more:
        pytest.skip("has no such option")
    for name in "12":
        line = options(stage, invented, tmp_path / name, "--epochs", 2, "--deterministic", *more, device="cuda")
        MAINS[stage].main(line)
    assert_same(tmp_path / "1", tmp_path / "2")
