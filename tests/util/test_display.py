import sys
import time

import pytest

from util import display


@pytest.fixture(autouse=True)
def loud():
    yield
    display.be_quiet(False)


def test_a_log_file_gets_whole_lines_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(display, "EVERY", 0.05)
    for _ in display.bar(range(30), "reading", 30, "file"):
        time.sleep(0.01)
    text = capsys.readouterr().err
    lines = text.splitlines()
    assert 1 <= len(lines) <= 8 and "\r" not in text and text.endswith("\n")
    assert all(line.startswith("reading:") and "/30 [" in line for line in lines)


def test_short_work_leaves_a_log_file_alone(capsys):
    assert list(display.bar(range(5), "reading", 5)) == list(range(5))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    list(display.bar(range(5), "reading", 5))
    text = capsys.readouterr().err
    assert "\r" in text and "5/5" in text


def test_quiet(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    display.be_quiet()
    assert display.quiet() and list(display.bar(range(5))) == list(range(5))
    assert capsys.readouterr().err == ""
