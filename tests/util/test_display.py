import sys
import time

import pytest

from util import progress


@pytest.fixture(autouse=True)
def loud():
    yield
    progress.be_quiet(False)


def test_a_log_file_gets_whole_lines_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.05)
    for _ in progress.bar(range(30), "reading", 30, "file"):
        time.sleep(0.01)
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert 1 <= len(lines) <= 8 and "\r" not in text and text.endswith("\n")
    assert all(line.startswith("reading:") and "/30 [" in line for line in lines)


def test_short_work_leaves_a_log_file_alone(capsys):
    assert list(progress.bar(range(5), "reading", 5)) == list(range(5))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(progress.bar(range(5), "reading", 5))
    text = capsys.readouterr().err
    assert "\r" in text and "5/5" in text


def test_quiet(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress.be_quiet()
    assert progress.quiet() and list(progress.bar(range(5))) == list(range(5))
    assert capsys.readouterr().err == ""
