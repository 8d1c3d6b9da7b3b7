"""Runs that go on, or are evaluated, in other batches than they were trained in."""

import json

import pytest

import main_finetune
import main_pretrain
from util import signals


def metrics(folder):
    """Of the only epoch."""
    return json.loads((folder / "log.jsonl").read_text())


def test_a_loss_goes_on_with_other_accumulation(invented, options, tmp_path, monkeypatch, capsys):
    """Stopped within an epoch and resumed with fewer passes per update, it is still a mean over the epoch's samples."""

    def train(out, batch_size, *more):
        line = ("--epochs", 1, "--batch_size", batch_size, "--effective_batch_size", 8, "--no-report", *more)
        main_pretrain.main(options("pretrain", invented, out, *line))

    train(tmp_path / "whole", 8)
    steps = iter((False, True))
    monkeypatch.setattr(signals, "asked", lambda: next(steps))
    with pytest.raises(signals.Interrupted):
        train(tmp_path / "parts", 2)
    monkeypatch.undo()
    train(tmp_path / "parts", 8, "--resume", "auto")
    assert "stopped with accum_iter 4, goes on with 1: the masks are not those of one run" in capsys.readouterr().out
    whole, parts = (metrics(tmp_path / name)["train_loss"] for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, rel=0.2)  # other masks


def test_an_evaluation_takes_batches_that_no_update_could_be_made_of(invented, options, tmp_path):
    main_finetune.main(options("finetune", invented, tmp_path / "ft", "--epochs", 1, "--no-report"))
    line = ("--batch_size", 3, "--no-report", "--eval", tmp_path / "ft/checkpoint-0.pth")
    main_finetune.main(options("finetune", invented, tmp_path / "eval", *line))
    evaluated = json.loads((tmp_path / "eval/result.json").read_text())["last"]
    assert evaluated["test_loss"] == pytest.approx(metrics(tmp_path / "ft")["test_loss"], rel=1e-5)
