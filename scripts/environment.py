"""Check that this interpreter has the packages of a requirements file; else name the missing ones and exit with 1.

Uses only the standard library, since all packages may be missing.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def requirements(path):
    """[name, least version] of each line, with those of the files that it names by -r."""
    for line in Path(path).read_text().splitlines():
        if line.startswith("-r "):
            yield from requirements(Path(path).with_name(line[3:].strip()))
        elif line.strip():
            yield line.strip().split(">=")


def numbers(text):
    """The numbers a version begins with: '2.14.0.dev1+cpu' -> [2, 14, 0]."""
    return [int(number) for number in re.match(r"\d+(\.\d+)*", text)[0].split(".")]


def has(name, least):
    try:
        return numbers(version(name)) >= numbers(least)
    except PackageNotFoundError:
        return False


missing = [] if sys.version_info >= (3, 10) else ["Python>=3.10"]
missing += [f"{name}>={least}" for name, least in requirements(sys.argv[1]) if not has(name, least)]
if missing:
    sys.exit(f"environment: the active one, {sys.prefix}, lacks {', '.join(missing)}")
