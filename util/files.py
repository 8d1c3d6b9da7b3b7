"""Writing files atomically: if it is interrupted, the old file is still there. One process at a time in a folder."""

import csv
import glob
import hashlib
import io
import os
import platform
import time
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

SUFFIXES = (".npz", ".npy", ".pkl", ".pickle", ".gz", ".pth", ".pt", ".tar")


LOCK_SECONDS = 10  # to wait for a lock: the loader's workers of a run that was killed keep its lock for some seconds
_locked = {}  # {real path: file descriptor} of the folders that this process has locked


def lock(folder):
    """Keep other processes from calling this for the same folder, until `unlock` or the end of this process.

    Raises ValueError if one has done so. Without effect where there are no such locks (Windows, some network file systems).
    """
    real = os.path.realpath(folder)
    if fcntl is None or real in _locked:
        return
    descriptor, begin = os.open(real, os.O_RDONLY), time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - begin < LOCK_SECONDS:
                time.sleep(0.2)
                continue
            os.close(descriptor)
            raise ValueError(f"{folder}: another process is training in this folder; stop it, or give another one") from None
        except OSError:  # not on this file system
            os.close(descriptor)
            return
        _locked[real] = descriptor
        return


def unlock(folder):
    """Let others have a folder that `lock` has locked, if it has."""
    if (descriptor := _locked.pop(os.path.realpath(folder), None)) is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing it is not enough while a loader's worker has it, too
            os.close(descriptor)


def temporary(path):
    """A name beside `path` that only this process uses; removes what ended processes of this machine have left."""
    path, begin = Path(path), f"{platform.node()}-"
    for left in path.parent.glob(f"{glob.escape(f'{path.name}.{begin}')}*.part"):
        number = left.name[len(path.name) + 1 + len(begin) : -len(".part")]
        if os.name == "posix" and number.isdecimal() and not _lives(int(number)):
            with suppress(OSError):
                left.unlink()
    return path.with_name(f"{path.name}.{begin}{os.getpid()}.part")


def _lives(number):
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


@contextmanager
def written_aside(path, previous=None):
    """Open a binary file for writing under a temporary name. When the block ends it is synchronised to disk and renamed to
    `path`; if the block fails it is removed. previous: see `replace`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = temporary(path)
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
        older, aside = path.with_name(previous), temporary(path.with_name(previous))
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


def same_file(one, two):
    """Whether two paths, perhaps None, name one file, or files of one name if they are not both here."""
    try:
        return bool(one and two) and Path(one).samefile(two)
    except OSError:
        return Path(one).name == Path(two).name


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
