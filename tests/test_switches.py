"""The switches that make runs faster: what they change, and what they must not."""

import json
import shutil

import numpy as np
import pytest
import torch

import main_linprobe
import main_pretrain
import main_retrieval
from tests.runs import MAINS, same
from util import checkpoint, distributed, engine


def last(folder):
    return checkpoint.load(folder / "checkpoint-last.pth")


def test_data_on_the_device_are_evaluated_the_same(invented, options, tmp_path):
    for name, more in (("file", ()), ("memory", ("--data_on_device",))):
        main_retrieval.main(options("retrieval", invented, tmp_path / name, "--save_features", tmp_path / f"{name}.npz", *more))
    with np.load(tmp_path / "file.npz") as file, np.load(tmp_path / "memory.npz") as memory:
        assert all(np.array_equal(file[k], memory[k]) for k in file.files)


@pytest.mark.parametrize("stage", MAINS)
def test_data_on_the_device_train_the_same_weights(stage, invented, options, tmp_path):
    for name, more in (("file", ()), ("memory", ("--data_on_device",))):
        MAINS[stage].main(options(stage, invented, tmp_path / name, "--epochs", 2, *more))
    assert same(last(tmp_path / "file")["model"], last(tmp_path / "memory")["model"])


@pytest.mark.parametrize("stage, half", [("pretrain", torch.bfloat16), ("finetune", torch.float16)])
def test_16_bits_learn_and_resume_bit_for_bit(stage, half, invented, options, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "half", lambda device: half)
    main = MAINS[stage].main
    exact, whole, parts = (tmp_path / name for name in ("exact", "whole", "parts"))
    main(options(stage, invented, exact, "--epochs", 3))
    main(options(stage, invented, whole, "--epochs", 3, "--enable_amp"))
    train_one_epoch = engine.train_one_epoch

    def stops(model, loader, optimizer, loss_of, epoch, *args):
        if epoch == 2:
            raise InterruptedError
        return train_one_epoch(model, loader, optimizer, loss_of, epoch, *args)

    monkeypatch.setattr(f"main_{stage}.train_one_epoch", stops)
    with pytest.raises(InterruptedError):
        main(options(stage, invented, parts, "--epochs", 3, "--enable_amp"))
    monkeypatch.setattr(f"main_{stage}.train_one_epoch", train_one_epoch)
    main(options(stage, invented, parts, "--epochs", 3, "--enable_amp", "--resume", "auto"))
    a, b = last(whole), last(parts)
    assert same(a["model"], b["model"]) and a["scaler"] == b["scaler"]
    assert bool(a["scaler"]) == (half == torch.float16)
    assert not same(a["model"], last(exact)["model"])
    losses = [json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["train_loss"] for folder in (exact, whole)]
    assert losses[1] == pytest.approx(losses[0], rel=0.02 if half == torch.bfloat16 else 0.1)  # which skips its first updates


@pytest.mark.parametrize("first, second", [("bfloat16", "float16"), ("float16", "bfloat16")])
def test_16_bits_go_on_where_they_are_others(first, second, invented, options, tmp_path, monkeypatch, capsys):
    """From a device with bfloat16 to one without, and back."""
    for epochs, kind in enumerate((first, second), 1):
        monkeypatch.setattr(engine, "half", lambda device, kind=kind: getattr(torch, kind))
        main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", epochs, "--enable_amp", "--resume", "auto"))
    assert f"checkpoint-last.pth: was trained in {first} and goes on in {second}" in capsys.readouterr().out
    content = last(tmp_path)
    assert content["epoch"] == 1 and bool(content["scaler"]) == (second == "float16")


def test_gradients_that_overflow_in_float16_cost_an_update_and_not_the_run(invented, options, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "half", lambda device: torch.float16)
    monkeypatch.setattr("util.training.grad_scaler", lambda device, enabled: torch.amp.GradScaler("cpu", init_scale=2.0**40))
    main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 1, "--enable_amp"))
    content = last(tmp_path)
    assert content["scaler"]["scale"] < 2.0**40 and all(v.isfinite().all() for v in content["model"].values())


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_skipping_empty_bodies(stage, npz, arrays, options, tmp_path):
    """Where nothing is empty or copied nothing changes; where something is, the run goes on and says so in its config."""

    def two_bodies(second):
        changed = {f"x_{s}": np.concatenate([arrays[f"x_{s}"], second * arrays[f"x_{s}"]], -1) for s in ("train", "test")}
        return npz(arrays | changed | {"num_bodies": 2}, f"{second}.npz")

    results = {}
    for second in (-1, 0):
        for skip in ("", "--skip_empty_bodies"):
            folder = tmp_path / f"{second}{skip}"
            MAINS[stage].main(options(stage, two_bodies(second), folder, "--epochs", 2, *filter(None, [skip])))
            results[second, bool(skip)] = last(folder)
    assert all(content["config"]["skip_empty_bodies"] == skip for (_, skip), content in results.items())
    assert not same(results[0, False]["model"], results[0, True]["model"])
    for key, value in results[-1, False]["model"].items():
        assert torch.allclose(value, results[-1, True]["model"][key], atol=1e-5)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_numbers_are_the_uncompiled_ones_random_ones_too():
    torch.manual_seed(0)
    model, x = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.5)), torch.randn(4, 6)
    results = []
    for function in (model, distributed.compiled(model, torch.device("cpu"))):
        torch.manual_seed(1)
        out = function(x)
        model.zero_grad()
        out.square().sum().backward()
        results.append((out.detach(), model[0].weight.grad.clone()))
    assert (results[0][0] == 0).any()
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_training_is_compiled_and_checkpoints_are_not(stage, invented, options, tmp_path, monkeypatch):
    """With a stand-in for the compiler, which takes half a minute."""
    calls = []

    class Wrapped(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self._orig_mod = model

        def forward(self, *args):
            calls.append(self.training)
            return self._orig_mod(*args)

    monkeypatch.setattr("util.distributed.compiled", lambda model, device: Wrapped(model))
    for name, more in (("eager", ()), ("compiled", ("--compile",))):
        MAINS[stage].main(options(stage, invented, tmp_path / name, "--epochs", 2, *more))
    assert calls == [True] * 12, "six steps an epoch, and no evaluation"
    assert same(last(tmp_path / "eager")["model"], last(tmp_path / "compiled")["model"])


def test_without_a_compiler_there_is_one_line(monkeypatch):
    def fails(function, **options):
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(ValueError, match=r"^compile: torch.compile does not work here \(no compiler\); it needs .*$"):
        distributed.compiled(torch.nn.Linear(1, 1), torch.device("cpu"))


def test_a_frozen_encoder_computes_features_once(invented, options, tmp_path, monkeypatch):
    """Without augmentation those of both splits, with it those of the test set."""
    from model.transformer import Transformer

    encode, counts = Transformer.forward_features, []
    monkeypatch.setattr(Transformer, "forward_features", lambda self, x: counts.append(len(x)) or encode(self, x))
    for augment, expected in (("--no-augment", 24 + 13), ("--augment", 13 + 3 * 24)):
        counts.clear()
        main_linprobe.main(options("linprobe", invented, tmp_path / augment, "--epochs", 3, augment))
        assert sum(counts) == expected
