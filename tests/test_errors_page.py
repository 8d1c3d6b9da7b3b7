"""docs/errors.md quotes messages that the code has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINES = (ROOT / "docs/errors.md").read_text().splitlines()
QUOTED = [re.match(r"\| `([^`]+)`", line)[1] for line in LINES if line.startswith("| `")]


@pytest.fixture(scope="module")
def code():
    """All our Python, adjacent string literals joined."""
    files = [
        file
        for folder in ("feeder", "model", "util", "report", "predict", "data/prepare")
        for file in (ROOT / folder).rglob("*.py")
    ]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(file.read_text() for file in files))


@pytest.mark.parametrize("quoted", QUOTED)
def test_a_quoted_message_is_one_of_ours(quoted, code):
    parts = [re.escape(part.strip()) for part in quoted.split("…") if part.strip()]
    assert re.search(r"[^\n]*".join(parts), code), quoted


def test_there_are_many():
    assert len(QUOTED) > 20
