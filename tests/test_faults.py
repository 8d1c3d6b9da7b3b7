"""Runs that are stopped and killed at random moments, many times over, and what comes out in the end."""

import argparse
import errno
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import main_linprobe
import main_pretrain
from tests.processes import descendants, group, run_main, wait_for_epochs
from tests.runs import assert_same_end
from util import checkpoint, errors, files, signals
from util.training import Saver, Training

EPOCHS = 16


@pytest.fixture(scope="module")
def start(fork):
    """start(stage, line, **environment) -> the running process of a main."""
    return lambda stage, line, **environment: fork(run_main, stage, line, environment)


@pytest.fixture(scope="module")
def line(invented, options):
    def words(stage, folder, *more):
        return options(stage, invented, folder, "--epochs", EPOCHS, "--save_freq", 6, "--resume", "auto", *more)

    return words


@pytest.fixture(scope="module")
def whole(start, line, tmp_path_factory):
    """whole(stage) -> (folder, seconds) of an undisturbed run."""
    done = {}

    def undisturbed(stage):
        if stage not in done:
            folder, begin = tmp_path_factory.mktemp(stage), time.perf_counter()
            process = start(stage, line(stage, folder))
            process.join(60)
            assert process.exitcode == 0
            done[stage] = folder, time.perf_counter() - begin
        return done[stage]

    return undisturbed


def position(folder):
    """(complete epochs, complete steps of the next one) in the last checkpoint; all steps: infinitely many.

    (0, 0) without one: asked to stop before training began, as while the linear probe computes its features.
    """
    if not (folder / checkpoint.LAST).exists():
        return 0, 0
    content = checkpoint.load(folder / checkpoint.LAST)
    progress = content["progress"] or {"step": 0}
    return content["epoch"] + 1, progress.get("step", float("inf"))


USUAL = {"pretrain": signal.SIGKILL, "linprobe": signal.SIGTERM, "finetune": signal.SIGINT}  # the others are slow


@pytest.mark.parametrize(
    "number, stage, times",
    [
        pytest.param(number, stage, 5 if number == usual else 10, marks=() if number == usual else pytest.mark.slow)
        for stage, usual in USUAL.items()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)
    ],
)
def test_ended_at_random_moments_and_resumed(number, stage, times, whole, start, line, tmp_path):
    """The weights and the log are bit for bit those of an undisturbed run. Asked to stop, not a step is lost."""
    folder, seconds = whole(stage)
    rng, ends, amid = np.random.default_rng(number), 0, number == signal.SIGKILL
    for attempt in range(20):  # on a busy machine a run may come to its end before it was ended so many times: then another one
        ended, positions = tmp_path / str(attempt), []
        process = None
        while process is None or process.exitcode != 0:
            process = start(stage, line(stage, ended))
            longest = (0.15 + 0.15 * seconds) * (1 + ends / times)  # growing, should a start take longer than it did
            process.join(rng.uniform(0.05, longest) if ends < times or (not amid and ends < 60) else 60)
            if process.exitcode is None:
                os.kill(process.pid, number)
                process.join(60)
                ends += 1
            if process.exitcode == signals.REQUEUE:
                positions.append(position(ended))
            else:  # killed, or asked before the run had begun to listen or after its end
                assert process.exitcode in (0, -number, *((1, 130) if number == signal.SIGINT else ()))
        assert positions == sorted(positions)
        assert_same_end(folder, ended, EPOCHS)
        amid = amid or any(step for _, step in positions)
        if ends >= times and amid:
            break
    assert ends >= times and amid


def test_stopped_while_features_are_computed(line, tmp_path, monkeypatch, capsys):
    """Nothing is there to save: the line says so, the exit code is that of every stopped run, and a rerun begins anew."""
    words = line("linprobe", tmp_path)
    with monkeypatch.context() as asking:
        asking.setattr(signals, "stop_requested", lambda: True)
        with pytest.raises(SystemExit) as end:
            errors.main(lambda: main_linprobe.main(words))
    assert end.value.code == signals.REQUEUE and position(tmp_path) == (0, 0)
    assert "with nothing new to save" in capsys.readouterr().out
    errors.main(lambda: main_linprobe.main([*words, "--epochs", "2"]))
    assert position(tmp_path)[0] == 2


@pytest.mark.parametrize("stage", USUAL)
def test_two_processes_are_stopped_and_resumed(stage, start, line, tmp_path):
    """Both get SIGTERM at once, as from a scheduler; they agree on the step at which they stop."""

    def both(folder, stop_after=None):
        words = line(stage, folder, "--batch_size", 2, "--epochs", 8)
        ranks = [start(stage, words, **environment) for environment in group(2)]
        if stop_after is not None:
            wait_for_epochs(stop_after, folder, ranks[0])
            for process in ranks:
                os.kill(process.pid, signal.SIGTERM)
        for process in ranks:
            process.join(60)
        return [process.exitcode for process in ranks]

    assert both(tmp_path / "whole") == [0, 0]
    stopped = tmp_path / "stopped"
    assert both(stopped, 2) == [signals.REQUEUE] * 2
    assert both(stopped) == [0, 0]
    assert_same_end(tmp_path / "whole", stopped, epochs=8)


def test_two_runs_do_not_train_in_one_folder(start, line, whole, tmp_path, monkeypatch):
    """They would write the same temporary files, and tear both checkpoints."""
    folder, _ = whole("pretrain")
    first = start("pretrain", line("pretrain", tmp_path))
    wait_for_epochs(1, tmp_path, first)
    os.kill(first.pid, signal.SIGSTOP)
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.5)
    with pytest.raises(ValueError, match=f"{tmp_path}: another process is training in this folder"):
        main_pretrain.main(line("pretrain", tmp_path))
    os.kill(first.pid, signal.SIGCONT)
    first.join(60)
    assert_same_end(folder, tmp_path, EPOCHS)
    main_pretrain.main(line("pretrain", tmp_path, "--epochs", EPOCHS + 1))  # the lock is gone with the run


def lead_a_group(stage, line):
    os.setsid()
    run_main(stage, line, {})


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_process_group_leaves_the_loader_its_workers(number, fork, line, tmp_path):
    """As torchrun and Ctrl-C send it: the run saves, and nobody stays behind."""
    process = fork(lead_a_group, "pretrain", line("pretrain", tmp_path, "--epochs", 4000, "--num_workers", 2))
    wait_for_epochs(1, tmp_path, process)
    workers = descendants(process.pid)
    os.killpg(process.pid, number)
    process.join(60)
    assert process.exitcode == signals.REQUEUE and position(tmp_path) > (0, 0)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_to_every_process_saves_although_the_workers_end(workers, start, line, tmp_path):
    """As scancel and systemd send it to a run that torchrun did not start."""
    process = start("pretrain", line("pretrain", tmp_path, "--epochs", 4000, "--num_workers", workers))
    wait_for_epochs(1, tmp_path, process)
    for pid in (process.pid, *descendants(process.pid)):
        os.kill(pid, signal.SIGTERM)
    process.join(60)
    assert process.exitcode == signals.REQUEUE and position(tmp_path) > (0, 0)


def signalled_again(survived):
    """Two signals at once are one request; another one, a second later, is impatience."""
    signals.listen()
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    survived.write_text(signals.signal_name())
    time.sleep(signals.AGAIN)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_comes_twice_is_one_and_again_is_the_end(fork, tmp_path):
    process = fork(signalled_again, tmp_path / "survived")
    process.join(30)
    assert process.exitcode == -signal.SIGTERM and (tmp_path / "survived").read_text() == "SIGTERM"


def test_a_damaged_checkpoint_falls_back_to_the_one_before(whole, start, line, tmp_path):
    folder, _ = whole("finetune")
    process = start("finetune", line("finetune", tmp_path))
    wait_for_epochs(5, tmp_path, process)
    process.kill()
    process.join()
    last = tmp_path / checkpoint.LAST
    if not last.exists():  # killed between two renames
        last.write_bytes(b"")
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    process = start("finetune", line("finetune", tmp_path))
    process.join(60)
    assert process.exitcode == 0
    assert_same_end(folder, tmp_path, EPOCHS)


def test_a_data_loader_worker_that_dies(start, line, tmp_path):
    """The run ends with one line and its last checkpoint, from which it goes on."""
    process = start("pretrain", line("pretrain", tmp_path, "--num_workers", 1, "--epochs", 4000))
    wait_for_epochs(3, tmp_path, process)
    os.kill(descendants(process.pid)[0], signal.SIGKILL)
    process.join(30)
    assert process.exitcode == 2
    assert checkpoint.load(tmp_path / checkpoint.LAST)["epoch"] >= 1


class FullDisk:
    """A file that takes some bytes and no more."""

    def __init__(self, file):
        self.file, self.left = file, 3000

    def write(self, content):
        self.left -= memoryview(content).nbytes
        if self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(content)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("must", [False, True])
def test_a_full_disk_costs_the_new_checkpoint_only(must, tmp_path, monkeypatch, capsys):
    """torch's own writer makes a RuntimeError of it."""
    saver = Saver(argparse.Namespace(output_dir=tmp_path, save_minutes=0))
    saver.last({"model": {}, "epoch": 0})
    saver.last({"model": {}, "epoch": 1})

    whole, content = torch.save, {"model": {"weight": torch.zeros(9000)}, "epoch": 2}
    monkeypatch.setattr(torch, "save", lambda content, file: whole(content, FullDisk(file)))
    if must:
        with pytest.raises(OSError, match="No space left"):
            saver.last(content, must=True)
    else:
        saver.last(content)
        warning = capsys.readouterr().out
        assert "warning: " in warning and "last.pth could not be written (No space left on device)" in warning
    monkeypatch.undo()
    epochs = {file.name: checkpoint.load(file)["epoch"] for file in tmp_path.iterdir()}
    assert epochs == {checkpoint.LAST: 1, checkpoint.PREVIOUS: 0}


def test_content_that_could_not_be_loaded_again_ends_the_run_at_once(line, tmp_path, monkeypatch):
    """What somebody adds to checkpoints shows in the first one, not when a run of days is resumed."""
    whole = Training.state_dict
    monkeypatch.setattr(Training, "state_dict", lambda self, *given: whole(self, *given) | {"mine": Path("a")})
    with pytest.raises(ValueError, match="checkpoint-last.pth: not a readable checkpoint .*plain data"):
        main_pretrain.main(line("pretrain", tmp_path))
    assert not (tmp_path / f"checkpoint-{EPOCHS - 1}.pth").exists()


def test_how_often_checkpoints_are_written(tmp_path):
    saver = Saver(argparse.Namespace(output_dir=tmp_path, save_minutes=60))
    assert saver.due()
    saver.last({"model": {}, "epoch": 0, "optimizer": {}})
    assert not saver.due()
    saver.time -= 3600
    assert saver.due()
    saver.keep({"model": {}, "epoch": 7, "optimizer": {}}, 7)
    assert os.path.samefile(tmp_path / "checkpoint-7.pth", tmp_path / checkpoint.LAST)  # one file on the disk
    assert checkpoint.load(tmp_path / checkpoint.PREVIOUS)["epoch"] == 0
    saver.best({"model": {}, "epoch": 8, "optimizer": {}, "scaler": {}, "random": {}, "progress": None})
    assert checkpoint.load(tmp_path / checkpoint.BEST) == {"model": {}, "epoch": 8}
    saver.last({"model": {}, "epoch": 8})
    assert checkpoint.load(tmp_path / "checkpoint-7.pth")["epoch"] == 7  # its second name went to another file
    assert not list(tmp_path.glob("*.part"))
