"""What the preparation scripts share on their command lines."""

import argparse
from pathlib import Path

import pytest

from data.prepare import arguments


@pytest.mark.parametrize("many", [False, True])
def test_raw_recordings_are_named_with_or_without_the_option(many, capsys):
    def parse(*words, default=None):
        parser = argparse.ArgumentParser()
        arguments.add_raw(parser, "what is read", default, many)
        return parser.parse_args(words).raw

    assert parse() is None and parse(default=Path("usual")) == Path("usual")
    assert parse("a") == parse("--raw", "a") == parse("a", default=Path("usual")) == ([Path("a")] if many else Path("a"))
    if many:
        assert parse("a", "b") == parse("--raw", "a", "b") == [Path("a"), Path("b")]
    for words in [("a", "--raw", "b"), ("--raw", "a", "--raw", "b"), *([] if many else [("a", "b"), ("--raw", "a", "b")])]:
        with pytest.raises(SystemExit):
            parse(*words)
        assert "b: " in capsys.readouterr().err
