"""Runs that are interrupted, killed or go wrong."""

import shutil

import numpy as np
import pytest
import torch
import yaml

import main_finetune
import main_linprobe
import main_pretrain
from model.mamp import MAMP
from tests.runs import MAINS, TRAINED, read, same, weights
from util import checkpoint, signals
from util.engine import train_one_epoch
from util.logging import Log


@pytest.fixture(scope="module")
def whole(invented, options, tmp_path_factory):
    """whole(stage) -> folder of four uninterrupted epochs."""
    done = {}

    def train(stage):
        if stage not in done:
            done[stage] = tmp_path_factory.mktemp(stage)
            MAINS[stage].main(options(stage, invented, done[stage], "--epochs", 4, "--save_freq", 1))
        return done[stage]

    return train


def assert_same_run(one, two):
    a, b = (checkpoint.load(folder / "checkpoint-last.pth") for folder in (one, two))
    assert a["epoch"] == b["epoch"] == 3 and same(a["model"], b["model"])
    assert a.keys() == b.keys() and all(same(head, b["heads"][name]) for name, head in a.get("heads", {}).items())
    for s, t in zip(a["optimizer"]["state"].values(), b["optimizer"]["state"].values(), strict=True):
        assert all(torch.equal(torch.as_tensor(s[k]), torch.as_tensor(t[k])) for k in s if s[k] is not None)
    logs = [read(folder, "log.jsonl") for folder in (one, two)]
    assert [line["epoch"] for line in logs[1]] == [0, 1, 2, 3]
    results = [read(folder) for folder in (one, two)]
    for log, result in zip(logs, results, strict=True):
        assert result.pop("checkpoint")["path"].endswith("checkpoint-3.pth") and result.pop("command")
        for numbers in (*log, result["last"], result.get("best") or {}):
            numbers.pop("samples_per_s", None)
    assert logs[0] == logs[1] and results[0] == results[1]


@pytest.mark.parametrize("stage", TRAINED)
@pytest.mark.parametrize(
    "moment, workers", [("main.train_one_epoch", 1), ("util.training.checkpoint.save", 0), ("util.logging.Log.epoch", 0)]
)
def test_resuming_continues_bit_for_bit(stage, moment, workers, whole, invented, options, tmp_path, monkeypatch):
    line = options(stage, invented, tmp_path, "--epochs", 4, "--save_freq", 1, num_workers=workers)
    moment = moment.replace("main.", f"main_{stage}.")
    function = {"train_one_epoch": train_one_epoch, "save": checkpoint.save, "epoch": Log.epoch}[moment.split(".")[-1]]

    def interrupted(*args, **kwargs):
        numbers = [a for a in args if isinstance(a, int)] + [a["epoch"] for a in args if isinstance(a, dict) and "model" in a]
        if 2 in numbers:
            raise KeyError("somebody pulls the plug")
        return function(*args, **kwargs)

    monkeypatch.setattr(moment, interrupted)
    with pytest.raises(KeyError, match="plug"):
        MAINS[stage].main(line)
    monkeypatch.undo()
    torch.manual_seed(123)
    np.random.seed(123)
    MAINS[stage].main([*line, "--resume", "auto"])
    assert_same_run(whole(stage), tmp_path)


def test_resuming_a_finished_run_changes_nothing(whole, invented, options):
    folder = whole("finetune")
    before, result = weights(folder / "checkpoint-last.pth"), read(folder)
    main_finetune.main(options("finetune", invented, folder, "--epochs", 4, "--resume", "auto"))
    assert same(before, weights(folder / "checkpoint-last.pth"))
    assert len(read(folder, "log.jsonl")) == 4 and read(folder)["last"] == result["last"]


def test_resuming_what_cannot_be_resumed(whole, invented, options, tmp_path):
    checkpoint.save(tmp_path / "bare.pth", {"model": weights(whole("pretrain") / "checkpoint-last.pth")})
    with pytest.raises(ValueError, match="bare.pth: cannot be resumed, it has no optimizer, scaler, samples, epoch"):
        main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 4, "--resume", tmp_path / "bare.pth"))


def test_loss_that_is_not_finite_stops_with_the_weights_from_before(invented, options, tmp_path, monkeypatch):
    forward_loss, calls = MAMP.forward_loss, []

    def explodes(self, *args):
        calls.append(1)
        return forward_loss(self, *args) * (float("inf") if len(calls) == 9 else 1)  # epoch 2, step 3: six steps an epoch

    monkeypatch.setattr(MAMP, "forward_loss", explodes)
    message = r"loss inf in epoch 2, step 3, samples \[(\d+, ){3}\d+\]; the last good weights are in .*checkpoint-last.pth"
    with pytest.raises(ValueError, match=message):
        main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 3))
    content = checkpoint.load(tmp_path / "checkpoint-last.pth")
    assert content["epoch"] == 0 and all(torch.isfinite(v).all() for v in content["model"].values())
    assert [line["epoch"] for line in read(tmp_path, "log.jsonl")] == [0]
    monkeypatch.undo()
    main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 2, "--resume", "auto"))
    assert len(read(tmp_path, "log.jsonl")) == 2


def test_resumed_probe_on_fixed_features_keeps_its_encoder(whole, invented, options, tmp_path):
    """Resuming without --finetune: the encoder is the checkpoint's, so --eval agrees with what the run reports."""
    start, encoder = ("--no-augment", "--lr", 0.1, "--warmup_epochs", 0), whole("pretrain") / "checkpoint-3.pth"
    out = tmp_path / "out"
    main_linprobe.main(options("linprobe", invented, out, *start, "--epochs", 2, "--finetune", encoder))
    main_linprobe.main(options("linprobe", invented, out, *start, "--epochs", 4, "--resume", "auto"))
    result = read(out)
    assert result["encoder"]["path"] == str(encoder)
    reported = result["last"]
    main_linprobe.main(options("linprobe", invented, tmp_path / "eval", "--eval", out / "checkpoint-last.pth"))
    assert read(tmp_path / "eval")["last"]["test_loss"] == pytest.approx(reported["test_loss"])


@pytest.mark.parametrize("words", ["--lr 0.5", "--seed 3", "--mask_ratio 0.7", "--num_heads 4", "--betas 0.5 0.9"])
def test_resuming_with_other_settings_is_refused(whole, invented, options, tmp_path, words):
    before = whole("pretrain") / "checkpoint-1.pth"
    line = options("pretrain", invented, tmp_path, "--epochs", 4, *words.split(), resume=before)
    with pytest.raises(ValueError, match=f"checkpoint-1.pth: the run began with {words.split()[0][2:]} .*start anew"):
        main_pretrain.main(line)


def test_resuming_with_more_epochs_says_so(whole, invented, options, tmp_path, capsys):
    line = options("pretrain", invented, tmp_path, "--epochs", 5, resume=whole("pretrain") / "checkpoint-last.pth")
    main_pretrain.main(line)
    assert "began as a run of 4 epochs; its learning rates were those of another schedule" in capsys.readouterr().out


def stopped(line, monkeypatch):
    """Run, and stop after the first step."""
    with monkeypatch.context() as asking:
        asking.setattr(signals, "stop_requested", lambda: True)
        with pytest.raises(signals.Interrupted):
            main_pretrain.main(line)


def test_an_extended_run_has_no_result_until_it_ends(invented, options, tmp_path, monkeypatch):
    """The old accuracy would stand beside the new number of epochs."""
    main_pretrain.main(options("pretrain", invented, tmp_path, "--epochs", 1))
    line = options("pretrain", invented, tmp_path, "--epochs", 2, "--resume", "auto")
    assert read(tmp_path)["epochs"] == 1
    stopped(line, monkeypatch)
    assert not (tmp_path / "result.json").exists()
    main_pretrain.main(line)
    assert read(tmp_path)["epochs"] == 2


def test_a_run_stopped_in_its_first_epoch_is_not_thrown_away(invented, options, tmp_path, monkeypatch):
    line = options("pretrain", invented, tmp_path, "--epochs", 1)
    with monkeypatch.context() as failing:
        failing.setattr(main_pretrain, "train_one_epoch", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main_pretrain.main(line)
    stopped(line, monkeypatch)  # what did nothing is no run
    with pytest.raises(ValueError, match="holds a run; --resume auto goes on with it"):
        main_pretrain.main(line)
    assert checkpoint.load(tmp_path / "checkpoint-last.pth")["progress"]["step"] == 1
    main_pretrain.main([*line, "--resume", "auto"])


def test_weights_ruined_by_the_last_update_are_not_saved(invented, options, tmp_path):
    """One step an epoch: the loss before it is finite, the weights after it are not."""
    words = "--epochs 1 --batch_size 24 --effective_batch_size 24 --warmup_epochs 0 --lr 1e39"
    line = options("pretrain", invented, tmp_path, *words.split())
    with pytest.raises(ValueError, match="weights are not finite after epoch 1, step 1, samples"):
        main_pretrain.main(line)
    assert all(value.isfinite().all() for value in weights(tmp_path / "checkpoint-last.pth").values())


def test_resuming_with_another_encoder_is_refused(whole, invented, options, tmp_path, capsys):
    """The old accuracy would be reported for the new encoder. The same file may have moved."""
    one, other = (whole("pretrain") / f"checkpoint-{epoch}.pth" for epoch in (1, 2))
    copy, out = shutil.copy(one, tmp_path / "copy.pth"), tmp_path / "ft"
    main_finetune.main(options("finetune", invented, out, "--epochs", 1, "--finetune", one))
    resume = options("finetune", invented, out, "--epochs", 2, "--resume", "auto")
    with pytest.raises(
        ValueError, match="began with the encoder .*checkpoint-1.pth, now it is .*checkpoint-2.pth, with other content"
    ):
        main_finetune.main([*resume, "--finetune", str(other)])
    main_finetune.main([*resume, "--finetune", str(copy)])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "encoder from" in line][-1].endswith(f"encoder from {one}, seed 0")
    assert read(out)["encoder"]["path"] == str(one)
    assert yaml.safe_load((out / "config.yaml").read_text())["finetune"] == str(one)
    main_finetune.main(options("finetune", invented, tmp_path / "scratch", "--epochs", 1))
    with pytest.raises(ValueError, match="began with random weights, now --finetune is"):
        main_finetune.main(
            options("finetune", invented, tmp_path / "scratch", "--epochs", 2, "--resume", "auto", "--finetune", one)
        )


def test_a_long_run_that_is_ended_early_has_its_last_checkpoint(whole, invented, options, tmp_path):
    """The numbered file is what the next stage is told to take; epochs that are begun beyond --epochs are not reported as it."""
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(whole("pretrain") / "checkpoint-2.pth", out / "checkpoint-last.pth")  # of four epochs
    main_pretrain.main(options("pretrain", invented, out, "--epochs", 3, "--resume", "auto"))
    assert read(out)["checkpoint"]["path"].endswith("checkpoint-2.pth") and (out / "checkpoint-2.pth").is_file()
    assert same(weights(out / "checkpoint-2.pth"), weights(whole("pretrain") / "checkpoint-2.pth"))
    content = checkpoint.load(out / "checkpoint-last.pth") | {"progress": {"step": 1}}
    checkpoint.save(tmp_path / "within.pth", content)
    with pytest.raises(ValueError, match="within.pth: a part of epoch 4 is done already, more than --epochs 3"):
        main_pretrain.main(options("pretrain", invented, tmp_path / "b", "--epochs", 3, "--resume", tmp_path / "within.pth"))


def test_resuming_on_other_data_is_refused(whole, npz, arrays, options, tmp_path):
    line = ("--epochs", 4, "--resume", whole("pretrain") / "checkpoint-1.pth")
    with pytest.raises(ValueError, match="the run began with 24 samples of invented.npz, now there are 24 of data.npz"):
        main_pretrain.main(options("pretrain", npz(arrays), tmp_path, *line))
    few = {key: value[:20] if key.endswith("_train") else value for key, value in arrays.items()}
    with pytest.raises(ValueError, match="24 samples of invented.npz, now there are 20 of invented.npz"):
        main_pretrain.main(options("pretrain", npz(few, "invented.npz"), tmp_path, *line))


def test_a_refused_run_leaves_the_folder_of_another_as_it_is(whole, invented, options):
    folder = whole("finetune")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    anew, otherwise = (), ("--resume", "auto", "--lr", 0.5)
    for more, message in ((anew, "holds a run; --resume auto goes on with it"), (otherwise, "began with lr")):
        with pytest.raises(ValueError, match=message):
            main_finetune.main(options("finetune", invented, folder, "--epochs", 4, *more))
    with pytest.raises(ValueError, match="holds a run"):
        main_pretrain.main(options("pretrain", invented, folder, "--epochs", 4))
    with pytest.raises(FileNotFoundError, match="absent.npz"):
        main_finetune.main(options("finetune", "absent.npz", folder, "--epochs", 4, "--resume", "auto"))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_going_back_names_the_checkpoints_that_are_left_behind(whole, invented, options, tmp_path, capsys):
    shutil.copytree(whole("pretrain"), tmp_path / "run")
    line = options("pretrain", invented, tmp_path / "run", "--epochs", 4, "--save_freq", 1)
    main_pretrain.main([*line, "--resume", str(tmp_path / "run/checkpoint-1.pth")])
    assert f"warning: {tmp_path}/run: checkpoint-2.pth, checkpoint-3.pth are of epochs that begin anew" in capsys.readouterr().out
