"""Progress of long work: a bar with the time left on a terminal, a line now and then in a log file, nothing when quiet."""

import sys

from tqdm import tqdm

EVERY = 30  # seconds between two lines of a log file

_quiet = []


def be_quiet(wanted=True):
    """From now on no progress is shown, and messages that are not results are left out."""
    _quiet[:] = [True] if wanted else []


def quiet():
    return bool(_quiet)


class _Lines:
    """A file for tqdm that starts a new line where a terminal would overwrite the old one."""

    def __init__(self, file):
        self.file = file

    def write(self, text):
        text = text.strip()
        if text:
            self.file.write(text + "\n")

    def flush(self):
        self.file.flush()


def bar(things=None, title=None, total=None, unit="it", disable=False, **options):
    """tqdm over `things`; in a log file only what takes longer than half a minute is reported. options: tqdm's."""
    if not sys.stderr.isatty():
        options |= {"file": _Lines(sys.stderr), "mininterval": EVERY, "delay": EVERY, "leave": False}
    return tqdm(things, desc=title, total=total, unit=unit, disable=disable or quiet(), **options)
