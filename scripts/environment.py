"""Whether the interpreter that runs this has the packages of a requirements file; says what it lacks, and then exits with 1."""

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def needs(path):
    """[name, least version] of each line, with those of the files that it names by -r."""
    for line in Path(path).read_text().split("\n"):
        if line.startswith("-r "):
            yield from needs(Path(path).with_name(line[3:].strip()))
        elif line.strip():
            yield line.strip().split(">=")


def has(name, least):
    try:
        return numbers(version(name)) >= numbers(least)
    except PackageNotFoundError:
        return False


def numbers(text):
    """The numbers a version begins with: '2.14.0.dev1+cpu' -> [2, 14, 0]."""
    return [int(number) for number in re.match(r"\d+(\.\d+)*", text)[0].split(".")]


missing = [
    f"{name}>={least}"
    for name, least in [["Python", "3.10"], *needs(sys.argv[1])]
    if not (sys.version_info >= (3, 10) if name == "Python" else has(name, least))
]
if missing:
    sys.exit(f"environment: the active one, {sys.prefix}, lacks {', '.join(missing)}")
