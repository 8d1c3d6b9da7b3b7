"""Many files, one after the other or in parallel: progress, and a list of those that could not be used."""

import multiprocessing
import os
import re
import signal
import threading
import zipfile
from collections import Counter, deque
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path

from util import display
from util.files import write_text

CHUNK = 16  # files handed to a process at a time


def find(raw, suffix, hint="", deep=True):
    """The files that end in `suffix`, in small or large letters, of the folder or zip `raw`, sorted by path: paths with name and
    read_bytes().

    deep: also those in folders of the folder. Raises FileNotFoundError or ValueError naming it; hint: what to give instead.
    """
    raw = Path(raw)
    if raw.is_dir():
        files = [file for file in (raw.rglob if deep else raw.glob)("*") if file.is_file() and file.suffix.lower() == suffix]
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


class Skipped:
    """The files a step leaves out and why. strict: raise the first error instead."""

    def __init__(self, strict=False):
        self.strict, self.reasons = strict, []

    def add(self, reason):
        """reason: one line that names the file."""
        if self.strict:
            raise ValueError(reason)
        self.note(reason)

    def note(self, reason):
        """As add, for what is expected and no error."""
        self.reasons.append(reason)

    def write(self, path, shown=10):
        """One reason per line into `path`; the first few are printed, and how many there are of each kind."""
        write_text(path, "".join(f"{reason}\n" for reason in self.reasons))
        for reason in self.reasons[:shown]:
            print(f"  skipped: {reason}")
        if len(self.reasons) > shown:
            for kind, count in self.kinds().most_common():
                print(f"  {count:>7} × {kind}")
        if self.reasons:
            print(f"  all {len(self.reasons)} skipped: {path}")

    def kinds(self):
        """{reason without file, line and values: number}."""
        return Counter(map(_kind, self.reasons))


def _kind(reason):
    text = re.sub(r"^.*?: (line \d+: )?", "", reason)
    return re.sub(r"'[^']*'|\b\d[\d,.]*", "…", text)


def each(function, items, title, skipped, workers=1, chunk=CHUNK):
    """Yield (item, function(item)) in order, with a progress bar; `workers` processes (None: one per core).

    Items for which the function raises ValueError or OSError go to `skipped`, a `Skipped`. For several processes
    `function` has to be importable: of module level, or a partial of such. They get `chunk` items at a time, and are never more
    than two chunks each ahead of what was taken, so that results do not pile up in memory.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"--workers {workers}: at least 1")
    workers = min(workers or os.cpu_count(), max(1, len(items) // chunk))
    bar = partial(display.bar, title=title, total=len(items), unit="file")
    attempt = partial(_attempt, function)
    if workers == 1:
        yield from _sift(items, bar(map(attempt, items)), skipped)
        return
    pool = ProcessPoolExecutor(workers, initializer=_begin)
    try:
        yield from _sift(items, bar(_windowed(pool, attempt, items, chunk, 2 * workers)), skipped)
    except BrokenProcessPool as error:
        raise ChildProcessError(f"{title}: a worker was killed, perhaps for lack of memory; try --workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _begin():
    """Of a worker: Ctrl-C is for the parent, and nobody else would end the worker of a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _windowed(pool, attempt, items, chunk, most):
    """Results in order, with at most `most` chunks under way."""
    chunks = (items[i : i + chunk] for i in range(0, len(items), chunk))
    pending = deque(pool.submit(_all, attempt, part) for part in islice(chunks, most))
    while pending:
        results = pending.popleft().result()
        pending.extend(pool.submit(_all, attempt, part) for part in islice(chunks, 1))
        yield from results


def _all(attempt, items):
    return [attempt(item) for item in items]


def _attempt(function, item):
    try:
        return function(item), None
    except (ValueError, OSError) as error:
        return None, str(error)


def _sift(items, results, skipped):
    for item, (result, error) in zip(items, results, strict=True):
        if error is None:
            yield item, result
        else:
            skipped.add(error)
