"""Files that are either the old ones or the whole new ones, whenever writing stops."""

import csv
import hashlib
import io
import os
from contextlib import contextmanager
from pathlib import Path

SUFFIXES = (".npz", ".npy", ".pkl", ".pickle", ".gz", ".pth", ".pt", ".tar")


@contextmanager
def written_aside(path, previous=None):
    """A binary file to write; it is on the disk and gets the name `path` when the block ends, and vanishes if the block fails.

    previous: see `replace`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    try:
        with open(aside, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace(aside, path, previous)
    finally:
        aside.unlink(missing_ok=True)


def replace(source, path, previous=None):
    """Rename `source` to `path`, which at no moment is missing; what had that name before gets the name `previous` in the same
    folder, if one is given. Without hard links there is a moment in which only the previous one is there."""
    path = Path(path)
    if previous and path.exists():
        older, aside = path.with_name(previous), path.with_name(previous + ".part")
        aside.unlink(missing_ok=True)
        try:
            os.link(path, aside)
        except OSError:
            os.replace(path, older)
        else:
            os.replace(aside, older)
            aside.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
    os.replace(source, path)


def bare_name(path):
    """The name of a file without .npz, .pth.tar and the like at its end, however many; any other dot is part of the name."""
    name = Path(path).name
    while (suffix := Path(name).suffix) in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def write_text(path, text):
    """Write `text` to `path`, all or nothing."""
    with written_aside(path) as file:
        file.write(text.encode())


def csv_text(lines, end="\r\n"):
    """Lines, dicts with the same keys, as CSV with a head; each line ends in `end`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(lines[0]) if lines else [], lineterminator=end)
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def sha256(path):
    """Checksum of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
