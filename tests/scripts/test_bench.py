"""bench.py runs every part in every mode and writes down what it printed."""

import json

import numpy as np
import pytest
import torch

from feeder.feeder_ntu import Feeder
from scripts import bench, bench_stages
from util import config
from util.memory import keep_freed


@pytest.fixture(autouse=True)
def settings():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    keep_freed(False)


def test_quick(tmp_path, capsys):
    modes = ["release", "all"]
    line = ["--quick", "--device", "cpu", "--threads", "1", "--json", str(tmp_path / "bench.json")]
    bench.main([*line, "--parts", "pretrain", "feeder", "--modes", *modes])
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


@pytest.mark.slow
def test_decoders_side_by_side(tmp_path):
    """Of every decoder the operations by formula are those that torch counts; the published code has self-attention alone."""
    line = ["--quick", "--device", "cpu", "--threads", "1", "--steps", "1", "--json", str(tmp_path / "bench.json")]
    bench.main([*line, "--parts", "pretrain", "--modes", "release", "default", "--decoder", "self", "query", "cross"])
    content = json.loads((tmp_path / "bench.json").read_text())
    rows = content["parts"]["pretrain"]
    assert list(rows) == ["release", "default", "default, query", "default, cross"] and len(content["load"]) == 2
    for name, row in rows.items():  # a batch's 16 bodies do the first projection of the queries once, by formula none does
        assert row["gflop_forward"] == pytest.approx(row["gflop_counted"], rel=0.01 if "query" in name else 1e-6)
    assert max(rows[f"default, {name}"]["gflop_counted"] for name in ("query", "cross")) < 0.8 * rows["default"]["gflop_counted"]


@pytest.mark.parametrize("part", ["pretrain", "finetune"])
def test_release_and_default_compute_the_same(part, tmp_path):
    """The same batches, and up to rounding the same loss: what differs is how."""
    o, losses, batches, backward = bench.options(["--quick", "--device", "cpu", "--steps", "1"]), [], [], torch.Tensor.backward
    bench_stages.invent(tmp_path / "bench.npz", o, 64)
    feeder = Feeder(tmp_path / "bench.npz", "train", (0.5, 1.0), o.num_frames, 16, random_rot=True)
    for name in ("release", "default"):
        stage = bench_stages.Stage(part, bench_stages.MODES[name], feeder, o, torch.device("cpu"))
        call = stage.called.forward
        stage.called.forward = lambda x, *args, call=call: batches.append(x) or call(x, *args)
        torch.manual_seed(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.Tensor, "backward", lambda loss, *a: losses.append(loss.item()) or backward(loss, *a))
            seconds = stage.run()
        assert set(seconds) == {"wall", "processor", "data", "forward", "backward", "optimizer"}
    assert torch.allclose(*batches, atol=1e-5) and losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_on_a_gpu_the_batches_are_those_of_the_main(tmp_path):
    """The passes, accumulated to an update, and the workers of pre-training on one GPU."""
    o = bench.options(["--device", "cuda"])
    args = config.parse("pretrain", ["--data_path", "x.npz"])
    config.set_batches(args)
    assert all(getattr(o, key) == getattr(args, key) for key in ("batch_size", "accum_iter", "num_workers"))
    assert o.steps % o.accum_iter == 0


def test_passes_are_accumulated_to_an_update(tmp_path):
    o = bench.options(["--quick", "--device", "cpu", "--steps", "4", "--accum_iter", "2"])
    bench_stages.invent(tmp_path / "bench.npz", o, 64)
    stage = bench_stages.Stage(
        "pretrain", bench_stages.MODES["default"], bench_stages.feeder_of(tmp_path / "bench.npz", o), o, torch.device("cpu")
    )
    weights, changed = stage.model.decoder_pred.bias, []
    for _ in range(o.steps):
        before = weights.detach().clone()
        stage.step(lambda: None)
        changed.append(not torch.equal(before, weights))
    assert changed == [False, True, False, True]


@pytest.mark.parametrize("empty", [0, 0.5, 1])
def test_invented_data(tmp_path, empty):
    o = bench.options(["--quick", "--device", "cpu", "--empty", str(empty)])
    bench_stages.invent(tmp_path / "bench.npz", o, 64)
    with np.load(tmp_path / "bench.npz") as file:
        x = file["x_train"].reshape(64, -1, 2, 5, 3)
    assert x[:, :, 0].any((1, 2, 3)).all() and (~x[:, :, 1].any((1, 2, 3))).mean() == empty
