"""Many files, one after the other or in parallel: progress, and a list of those that could not be used."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

from tqdm import tqdm

CHUNK = 16  # files handed to a process at a time


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
        """One reason per line into `path`; the first few are printed as well."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("".join(f"{reason}\n" for reason in self.reasons), encoding="utf-8")
        for reason in self.reasons[:shown]:
            print(f"  skipped: {reason}")
        if self.reasons:
            print(f"  all {len(self.reasons)} skipped files: {path}")


def each(function, items, title, skipped, workers=1):
    """Yield (item, function(item)) in order, with a progress bar; `workers` processes (None: one per core).

    Items for which the function raises ValueError or OSError go to `skipped`, a `Skipped`. For several processes
    `function` has to be importable: of module level, or a partial of such.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"--workers {workers}: at least 1")
    workers = min(workers or os.cpu_count(), max(1, len(items) // CHUNK))
    bar = partial(tqdm, total=len(items), desc=title, unit="file", mininterval=0.5)
    attempt = partial(_attempt, function)
    if workers == 1:
        yield from _sift(items, bar(map(attempt, items)), skipped)
        return
    pool = ProcessPoolExecutor(workers, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))
    try:
        yield from _sift(items, bar(pool.map(attempt, items, chunksize=CHUNK)), skipped)
    except BrokenProcessPool as error:
        raise ChildProcessError(f"{title}: a worker was killed, perhaps for lack of memory; try --workers 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


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
