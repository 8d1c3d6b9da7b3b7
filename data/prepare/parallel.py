"""Apply a function to many files, in one or several processes, with a progress bar and a list of unusable files."""

import lzma
import multiprocessing
import os
import re
import signal
import threading
import zipfile
import zlib
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from util import console, host
from util.files import files_below, write_text
from util.validation import one_line

CHUNK = 16  # files handed to a process at a time


def find_files(raw, suffix, hint="", deep=True):
    """The files with this suffix (in lower or upper case) in the folder or zip `raw`, sorted by path: Path or zipfile.Path.

    deep: subfolders, too. hint: end of the message if `raw` does not exist. Raises FileNotFoundError or ValueError naming it.
    """
    raw = Path(raw)
    if raw.is_dir():
        files = files_below(raw) if deep else raw.iterdir()
        files = [file for file in files if file.is_file() and file.suffix.lower() == suffix]
    elif raw.is_file():
        try:
            root = zipfile.Path(raw)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{raw}: neither a folder nor a complete zip file ({error})") from error
        names = [name for name in root.root.namelist() if not name.startswith("__MACOSX")]
        files = [root / name for name in names if name.lower().endswith(suffix)]
    else:
        raise FileNotFoundError(f"{raw}: no such folder or zip file{hint}")
    if not files:
        raise FileNotFoundError(f"{raw}: holds no {suffix} file")
    return sorted(files, key=str)


def read_bytes(file):
    """The content of one of these files. Raises ValueError naming it if its zip holds it damaged, encrypted, or compressed in a
    way that is not known here."""
    try:
        return file.read_bytes()
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise ValueError(f"{file}: cannot be read from its zip ({one_line(error)})") from error


def skipped_path(path):
    """Where the list of unusable files of the npz `path` goes."""
    return Path(path).parent / "raw_data" / f"{Path(path).stem}_skipped.txt"


class Skipped:
    """The list of unusable files, with reasons. strict: raise the first one as ValueError instead.

    As a context manager it writes the list to `path` at the end of the block, also after a ValueError because none was usable.
    """

    def __init__(self, strict=False, path=None):
        self.strict, self.path, self.reasons = strict, path, []

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None or issubclass(kind, ValueError) and self.reasons:
            self.write(self.path)

    def add(self, reason):
        """reason: one line that names the file."""
        if self.strict:
            raise ValueError(reason)
        self.reasons.append(reason)

    def write(self, path, printed=10):
        """Write a reason per line to `path`; print the first few and, if there are more, the number of each kind."""
        write_text(path, "".join(f"{reason}\n" for reason in self.reasons))
        for reason in self.reasons[:printed]:
            print(f"  skipped: {reason}")
        if len(self.reasons) > printed:
            for kind, count in count_kinds(self.reasons).most_common():
                print(f"  {count:>7} × {kind}")
        if self.reasons:
            print(f"  {len(self.reasons)} skipped, all listed in {path}")

    def first(self):
        """'; the first: ...', the end of an error message if no file can be used."""
        return f"; the first: {self.reasons[0]}" if self.reasons else ""


@contextmanager
def naming(where):
    """Put `where`, such as the file, in front of a ValueError raised in this block, unless its message begins with it."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(str(where)):
            raise
        raise ValueError(f"{where}: {error}") from error


def count_kinds(reasons):
    """{reason without file, line and values: how often it occurs}."""
    texts = (re.sub(r"^.*?: (line \d+: )?", "", reason) for reason in reasons)
    return Counter(re.sub(r"'[^']*'|\b\d[\d,.]*", "…", text) for text in texts)


def each(function, items, title, skipped, workers=1, chunk=CHUNK):
    """Yield (item, function(item)) in order, with a progress bar; workers: number of processes (None: one per core).

    If the function raises ValueError or OSError, the message is added to `skipped`, a `Skipped`. For several processes it has to
    be picklable: a function of a module, or a partial of one. A process gets `chunk` items at a time; at most two chunks per
    process are computed ahead, so that results do not pile up in memory.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"--workers {workers}: at least 1")
    workers = min(workers or host.cores(), max(1, len(items) // chunk))
    if workers == 1:
        results = (_run([item], function)[0] for item in items)
    else:
        results = _run_in_pool(function, items, title, workers, chunk)
    with closing(results):
        bar = console.bar(results, title=title, total=len(items), unit=" recordings")
        for item, (result, error) in zip(items, bar, strict=True):
            if error is None:
                yield item, result
            else:
                skipped.add(error)


def _run(items, function):
    """[(result, None) or (None, reason), ...] of a chunk of items."""
    results = []
    for item in items:
        try:
            results.append((function(item), None))
        except (ValueError, OSError) as error:
            results.append((None, str(error)))
    return results


def _run_in_pool(function, items, title, workers, chunk):
    """The results of `_run` over all items, in order."""
    pool = ProcessPoolExecutor(workers, initializer=_begin_worker)
    submitted = (pool.submit(_run, items[i : i + chunk], function) for i in range(0, len(items), chunk))
    try:
        pending = deque(islice(submitted, 2 * workers))  # submitted chunks; another one is submitted for each that is yielded
        while pending:
            results = pending.popleft().result()
            pending.extend(islice(submitted, 1))
            yield from results
    except BrokenProcessPool as error:
        raise ChildProcessError(f"{title}: a worker was killed, perhaps for lack of memory; try --workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_worker():
    """A worker ignores Ctrl-C, which the parent handles, and ends when its parent has ended, even if that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def end_with_parent():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
