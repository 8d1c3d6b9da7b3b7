"""Switches for speed and exact repetition, and runs that go on in other batches: what they change, and what they must not."""

import os

import pytest
import torch

import main_finetune
import main_linprobe
from model.transformer import Transformer
from tests.runs import COMPILES, MAINS, TRAINED, read, same
from util import checkpoint, distributed, engine, signals


@pytest.fixture
def train(invented, options, tmp_path):
    """train(stage, name, ...) -> the last checkpoint of two epochs in tmp_path/name."""

    def run(stage, name, *more, data=invented, **named):
        MAINS[stage].main(options(stage, data, tmp_path / name, "--epochs", 2, *more, **named))
        return checkpoint.load(tmp_path / name / "checkpoint-last.pth")

    return run


@pytest.fixture
def as_before(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("stage", TRAINED)
def test_one_seed_gives_the_same_bits_wherever_the_data_lie(stage, train, as_before):
    first = train(stage, "first")["model"]
    for name, more in (("again", ()), ("in memory", ("--data_on_device",)), ("deterministic", ("--deterministic",))):
        assert same(first, train(stage, name, *more)["model"])
        assert torch.are_deterministic_algorithms_enabled() == (name == "deterministic")
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not same(first, train(stage, "other", "--seed", 1)["model"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("more", [(), ("--enable_amp",), ("--skip_empty_bodies",)])
@pytest.mark.parametrize("stage", TRAINED)
def test_two_runs_on_a_gpu(stage, more, train, as_before):
    """Every operation has a deterministic form; one that has none would raise a RuntimeError that names it."""
    if stage == "linprobe" and "--skip_empty_bodies" in more:
        pytest.skip("has no such option")
    one, two = (train(stage, name, "--deterministic", *more, device="cuda")["model"] for name in "12")
    assert same(one, two)


@pytest.mark.parametrize("stage, half", [("pretrain", torch.bfloat16), ("finetune", torch.float16)])
def test_16_bits_learn_and_resume_bit_for_bit(stage, half, train, tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "half", lambda device: half)
    exact, whole = train(stage, "exact"), train(stage, "whole", "--enable_amp")
    train_one_epoch = engine.train_one_epoch

    def stops(model, loader, optimizer, loss_of, epoch, *args):
        if epoch == 1:
            raise InterruptedError
        return train_one_epoch(model, loader, optimizer, loss_of, epoch, *args)

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(f"main_{stage}.train_one_epoch", stops)
        train(stage, "parts", "--enable_amp")
    parts = train(stage, "parts", "--enable_amp", "--resume", "auto")
    assert same(whole["model"], parts["model"]) and whole["scaler"] == parts["scaler"]
    assert bool(whole["scaler"]) == (half == torch.float16)
    assert not same(whole["model"], exact["model"])
    losses = [read(tmp_path / name, "log.jsonl")[-1]["train_loss"] for name in ("exact", "whole")]
    assert losses[1] == pytest.approx(losses[0], rel=0.02 if half == torch.bfloat16 else 0.1)  # which skips its first updates


@pytest.mark.parametrize("first, second", [("bfloat16", "float16"), ("float16", "bfloat16")])
def test_16_bits_go_on_where_they_are_others(first, second, train, monkeypatch, capsys):
    """From a device with bfloat16 to one without, and back."""
    for epochs, kind in enumerate((first, second), 1):
        monkeypatch.setattr(engine, "half", lambda device, kind=kind: getattr(torch, kind))
        content = train("pretrain", "out", "--epochs", epochs, "--enable_amp", "--resume", "auto")
    assert f"checkpoint-last.pth: was trained in {first} and goes on in {second}" in capsys.readouterr().out
    assert content["epoch"] == 1 and bool(content["scaler"]) == (second == "float16")


def test_gradients_that_overflow_in_float16_cost_an_update_and_not_the_run(train, monkeypatch):
    monkeypatch.setattr(engine, "half", lambda device: torch.float16)
    monkeypatch.setattr("util.training.grad_scaler", lambda device, enabled: torch.amp.GradScaler("cpu", init_scale=2.0**40))
    content = train("pretrain", "out", "--enable_amp")
    assert content["scaler"]["scale"] < 2.0**40 and all(v.isfinite().all() for v in content["model"].values())


@pytest.mark.skipif(not COMPILES, reason="torch.compile needs a C++ compiler and, on CPUs, a newer torch than 2.6")
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
def test_training_is_compiled_and_checkpoints_are_not(stage, train, monkeypatch):
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
    eager, compiled = train(stage, "eager"), train(stage, "compiled", "--compile")
    assert calls == [True] * 12, "six steps an epoch, and no evaluation"
    assert same(eager["model"], compiled["model"])


def test_without_a_compiler_there_is_one_line(monkeypatch):
    def fails(function, **options):
        raise RuntimeError("no compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(ValueError, match=r"^compile: torch.compile does not work here \(no compiler\); it needs .*$"):
        distributed.compiled(torch.nn.Linear(1, 1), torch.device("cpu"))


def test_a_compiler_that_computes_wrong_gradients_is_refused(monkeypatch):
    """As that of torch 2.6 on CPUs, which forgets rows that are taken more than once."""
    monkeypatch.setattr(torch, "compile", lambda function, **options: lambda weight, rows: weight.square().sum())
    with pytest.raises(ValueError, match="^compile: torch .* computes wrong gradients with torch.compile on this cpu; leave out"):
        distributed.compiled(torch.nn.Linear(1, 1), torch.device("cpu"))


def test_a_frozen_encoder_computes_features_once(invented, options, tmp_path, monkeypatch):
    """Without augmentation those of both splits, with it those of the test set."""
    encode, counts = Transformer.forward_features, []
    monkeypatch.setattr(Transformer, "forward_features", lambda self, x: counts.append(len(x)) or encode(self, x))
    for augment, expected in (("--no-augment", 24 + 13), ("--augment", 13 + 3 * 24)):
        counts.clear()
        main_linprobe.main(options("linprobe", invented, tmp_path / augment, "--epochs", 3, augment))
        assert sum(counts) == expected


def test_a_loss_goes_on_with_other_accumulation(train, tmp_path, monkeypatch, capsys):
    """Stopped within an epoch and resumed with fewer passes per update, it is still a mean over the epoch's samples."""

    def one_epoch(name, batch_size, *more):
        train("pretrain", name, "--epochs", 1, "--batch_size", batch_size, "--effective_batch_size", 8, *more)

    one_epoch("whole", 8)
    steps = iter((False, True))
    with monkeypatch.context() as patch, pytest.raises(signals.Interrupted):
        patch.setattr(signals, "stop_requested", lambda: next(steps))
        one_epoch("parts", 2)
    one_epoch("parts", 8, "--resume", "auto")
    assert "stopped with accum_iter 4, goes on with 1: the masks are not those of one run" in capsys.readouterr().out
    whole, parts = (read(tmp_path / name, "log.jsonl")[0]["train_loss"] for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, rel=0.2)  # other masks


def test_an_evaluation_takes_batches_that_no_update_could_be_made_of(train, invented, options, tmp_path):
    train("finetune", "ft", "--epochs", 1)
    line = ("--batch_size", 3, "--eval", tmp_path / "ft/checkpoint-0.pth")
    main_finetune.main(options("finetune", invented, tmp_path / "eval", *line))
    trained, evaluated = read(tmp_path / "ft")["last"], read(tmp_path / "eval")["last"]
    assert evaluated["test_loss"] == pytest.approx(trained["test_loss"], rel=1e-5)
