"""bench.py runs every part in every mode and writes down what it printed."""

import json
from concurrent.futures import Future

import numpy as np
import pytest
import torch

from scripts import bench, bench_stages
from util import config
from util.memory import keep_freed

QUICK = ["--quick", "--device", "cpu", "--threads", "1"]


@pytest.fixture(autouse=True)
def freed_again():
    yield
    keep_freed(False)


@pytest.fixture
def stage(tmp_path):
    """stage(part, mode, o) -> the Stage of invented data."""

    def make(part, mode, o):
        bench_stages.invent(tmp_path / "bench.npz", o, 64)
        feeder = bench_stages.feeder_of(tmp_path / "bench.npz", o)
        return bench_stages.Stage(part, bench.MODES[mode], feeder, o, torch.device("cpu"))

    return make


def test_quick(tmp_path, capsys):
    modes = ["release", "all"]
    bench.main([*QUICK, "--json", str(tmp_path / "bench.json"), "--parts", "pretrain", "feeder", "--modes", *modes])
    content, printed = json.loads((tmp_path / "bench.json").read_text()), capsys.readouterr().out
    assert "INVENTED data, 50% of the second bodies empty" in printed
    parts = content["parts"]
    assert list(parts) == ["pretrain", "feeder"] and list(parts["pretrain"]) == modes
    for rows in parts.values():
        for name, row in rows.items():
            assert row["samples_per_s"] > 0 and f"| {name} | {row['samples_per_s']:.4g} |" in printed
            if "share" in row:
                assert sum(row["share"].values()) == pytest.approx(1)
                assert row["mfu"] == pytest.approx(row["tflops"] / row["peak_tflops"])
    assert content["options"]["batch_size"] == 8 and content["versions"]["torch"] == str(torch.__version__)


def test_a_mode_that_fails_does_not_cost_the_others(tmp_path, capsys, monkeypatch):
    """Such as `release`, which needs most memory."""
    numbers = {"names": ["step"], "step": 2.0, "wall": 2.0, "counted": 1e9, "processor": 3.0, "gib": 1.0, "busy": None}

    class Pool:
        def __init__(self, *_):
            pass

        __enter__, __exit__ = lambda pool: pool, lambda *_: None

        def submit(self, function, part, mode, *_):
            future = Future()
            future.set_exception(MemoryError("no room")) if mode in broken else future.set_result(numbers)
            return future

    monkeypatch.setattr(bench, "ProcessPoolExecutor", Pool)
    line = [*QUICK, "--json", str(tmp_path / "bench.json"), "--parts", "pretrain", "--modes", "release", "default"]
    broken = {"release"}
    bench.main(line)
    assert list(json.loads((tmp_path / "bench.json").read_text())["parts"]["pretrain"]) == ["default"]
    assert capsys.readouterr().err == "bench: pretrain cannot be run in mode release: no room\n"
    broken = {"release", "default"}
    with pytest.raises(SystemExit, match="1"):
        bench.main(line)
    assert "pretrain: no mode could be run" in capsys.readouterr().out


@pytest.mark.slow
def test_decoders_side_by_side(tmp_path):
    """Of every decoder the operations by formula are those that torch counts; the published code has self-attention alone."""
    line = [*QUICK, "--steps", "1", "--json", str(tmp_path / "bench.json")]
    bench.main([*line, "--parts", "pretrain", "--modes", "release", "default", "--decoder", "self", "query", "cross"])
    content = json.loads((tmp_path / "bench.json").read_text())
    rows = content["parts"]["pretrain"]
    assert list(rows) == ["release", "default", "default, query", "default, cross"] and len(content["load"]) == 2
    for name, row in rows.items():  # a batch's 16 bodies do the first projection of the queries once, by formula none does
        assert row["gflop_forward"] == pytest.approx(row["gflop_counted"], rel=0.01 if "query" in name else 1e-6)
    assert max(rows[f"default, {name}"]["gflop_counted"] for name in ("query", "cross")) < 0.8 * rows["default"]["gflop_counted"]


@pytest.mark.parametrize("part", ["pretrain", "finetune"])
def test_release_and_default_compute_the_same(part, stage, monkeypatch):
    """The same batches, and up to rounding the same loss: what differs is how."""
    o, losses, batches, backward = bench.options([*QUICK, "--steps", "1"]), [], [], torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss, *a: losses.append(loss.item()) or backward(loss, *a))
    for mode in ("release", "default"):
        made = stage(part, mode, o)
        made.called.forward = lambda x, *args, call=made.called.forward: batches.append(x) or call(x, *args)
        torch.manual_seed(0)
        seconds = made.run()
        assert set(seconds) == {"wall", "processor", "data", "forward", "backward", "optimizer"}
    assert torch.allclose(*batches, atol=1e-5) and losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_on_a_gpu_the_batches_are_those_of_the_main():
    """The passes, accumulated to an update, and the workers of pre-training on one GPU."""
    o = bench.options(["--device", "cuda"])
    args = config.parse("pretrain", ["--data_path", "x.npz"])
    config.set_batches(args)
    assert all(getattr(o, key) == getattr(args, key) for key in ("batch_size", "accum_iter", "num_workers"))
    assert o.steps % o.accum_iter == 0


def test_passes_are_accumulated_to_an_update(stage):
    o = bench.options([*QUICK, "--accum_iter", "2"])
    made = stage("pretrain", "default", o)
    weights, changed = made.model.decoder_pred.bias, []
    for _ in range(4):
        before = weights.detach().clone()
        made.step(lambda: None)
        changed.append(not torch.equal(before, weights))
    assert changed == [False, True, False, True]


@pytest.mark.parametrize("empty", [0, 0.5, 1])
def test_invented_data(tmp_path, empty):
    o = bench.options([*QUICK, "--empty", str(empty)])
    bench_stages.invent(tmp_path / "bench.npz", o, 64)
    with np.load(tmp_path / "bench.npz") as file:
        x = file["x_train"].reshape(64, -1, 2, 5, 3)
    assert x[:, :, 0].any((1, 2, 3)).all() and (~x[:, :, 1].any((1, 2, 3))).mean() == empty
