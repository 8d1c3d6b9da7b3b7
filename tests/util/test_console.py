import re
import sys
from datetime import datetime, timedelta

import pytest

from util import console


@pytest.fixture(autouse=True)
def loud():
    yield
    console.be_quiet(False)


def test_a_log_file_gets_whole_lines_now_and_then(monkeypatch, capsys):
    """30 files of 10 s each: a line every half minute at most."""
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    for _ in console.bar(range(30), "reading", 30, "file"):
        clock[0] += 10
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert 5 <= len(lines) <= 10 and "\r" not in text and text.endswith("\n")
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  reading:.*/30 \[", line) for line in lines)


def test_short_work_leaves_a_log_file_alone(capsys):
    assert list(console.bar(range(5), "reading", 5)) == list(range(5))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(console.bar(range(5), "reading", 5))
    text = capsys.readouterr().err
    assert "\r" in text and "5/5" in text


def test_quiet(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    console.be_quiet()
    assert console.quiet() and list(console.bar(range(5))) == list(range(5))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "seconds, text",
    [(0.2, "1 s"), (42, "42 s"), (100, "2 min"), (18_480, "5 h 8 min"), (3599, "1 h 0 min"), (186_000, "2 d 3 h")],
)
def test_a_duration_in_words(seconds, text):
    assert console.duration(seconds) == text


def test_the_whole_run_is_estimated_once_within_its_first_epoch(monkeypatch):
    """400 epochs of 100 steps of 2 s; the first takes 30 s and does not count: 2 s × 39,996 steps are left after the fourth."""
    clock = [1000.0]
    monkeypatch.setattr(console.time, "perf_counter", lambda: clock[0])
    estimate, lines = console.TimeEstimate(400), []
    for step in range(1, 101):
        clock[0] += 30 if step == 1 else 2
        lines.append(estimate.line(step, 100))
    printed = [(step, line) for step, line in enumerate(lines, 1) if line]
    assert len(printed) == 1 and printed[0][0] == 4 and printed[0][1].startswith("about 22 h 13 min left (")


def test_an_epochs_line_fits_a_terminal():
    metrics = {"train_loss": 1.23456789, "lr": 0.05, "samples_per_s": 12345.678, "skipped_steps": 0, "test_samples": 16487}
    metrics |= {"test_acc1": 63.254321, "test_acc5": 90.123456, "test_loss": 1.98765}
    metrics |= {"test_acc1_per_joint": 65.4321, "test_acc5_per_joint": 91.2, "test_loss_per_joint": 1.87654}
    metrics |= {"test_acc1_statistics": 66.5432, "test_acc5_statistics": 92.3, "test_loss_statistics": 1.76543}
    line = f"epoch 100/100  {console.metrics_text(metrics)}  {console.time_left(300_000)}"
    assert "loss 1.235  lr 0.05  top-1 63.25  per_joint 65.43  statistics 66.54" in line and len(line) <= 110
    assert "lr" not in console.metrics_text(metrics, metrics) and "lr 0.05" in console.metrics_text(
        metrics, metrics | {"lr": 0.1}
    )
    training = {key: metrics[key] for key in ("train_loss", "lr", "samples_per_s")}
    assert console.metrics_text(training) == "loss 1.235  lr 0.05  samples/s 12,346"


def test_the_end_is_told_by_the_clock():
    assert re.fullmatch(r"5 h 8 min left \((\w{3} )?\d\d:\d\d\)", console.time_left(18_480))
    assert console.clock(86_400 * 3).startswith((datetime.now() + timedelta(days=3)).strftime("%a "))
