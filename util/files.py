"""Writing files atomically: if it is interrupted, the old file is still there."""

import csv
import hashlib
import io
import os
from contextlib import contextmanager
from pathlib import Path

SUFFIXES = (".npz", ".npy", ".pkl", ".pickle", ".gz", ".pth", ".pt", ".tar")


@contextmanager
def written_aside(path, previous=None):
    """Open a binary file for writing under a temporary name. When the block ends it is synchronised to disk and renamed to
    `path`; if the block fails it is removed. previous: see `replace`.
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
    """Rename `source` to `path`, which exists at every moment. previous: a name for the old file, in the same folder (on a file
    system without hard links, `path` is missing for a moment then)."""
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


def files_below(folder):
    """Yield the Path of every file below a folder, through symbolic links to folders, too, but each folder once."""
    seen = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(root, name) for name in names)


def bare_name(path):
    """The name of a file without all of SUFFIXES at its end; any other dot is part of the name."""
    name = Path(path).name
    while (suffix := Path(name).suffix) in SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def check_output(name, path, inputs=()):
    """Raises ValueError if an output file, the value of the option `name`, is a folder or one of the `inputs`."""
    if path and Path(path).is_dir():
        raise ValueError(f"{name} {path}: is a folder; name the file")
    if path and Path(path).exists() and any(Path(one).exists() and Path(path).samefile(one) for one in inputs if one):
        raise ValueError(f"{name} {path}: is an input of this command, which it would overwrite; name another file")


def write_text(path, text):
    """Write `text` to `path` atomically."""
    with written_aside(path) as file:
        file.write(text.encode())


def csv_text(lines, end="\r\n"):
    """CSV with a header from lines, dicts with the same keys. end: of each line."""
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
