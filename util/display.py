"""Progress of long work: a bar with the time left on a terminal, a line now and then in a log file, nothing when quiet."""

import signal
import sys
import time
from datetime import datetime, timedelta

from tqdm import tqdm

EVERY = 30  # seconds between two lines of a log file

_quiet = []


def be_quiet(wanted=True):
    """From now on no progress is shown, and messages that are not results are left out."""
    _quiet[:] = [True] if wanted else []


def end_with_reader():
    """From now on this process ends, without a word, when what reads its output does: `| head` is no mistake. For commands that
    print and leave nothing unfinished."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


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


def duration(seconds):
    """In the two largest units, such as '2 d 3 h', '5 h 8 min', '8 min' or '42 s'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return " ".join([f"{days} d {hours} h"] if days else [f"{hours} h {minutes} min"] if hours else [f"{minutes} min"])


class Outlook:
    """Tells once, within the first epoch that this process trains, how long the whole run takes.

    epochs: how many are to be trained, what: how to call them; extra: work beside the steps, in steps. A run's first step is
    slower than the others and does not count, where more come before the estimate: after `SECONDS`, or ahead of the last step.
    """

    SECONDS = 5

    def __init__(self, epochs, what, extra=0.0):
        self.epochs, self.what, self.extra, self.told = epochs, what, extra, False

    def start(self, done):
        """The epoch goes on after `done` steps, now."""
        self.first, self.mark, self.begin = done, None, (done, time.perf_counter())

    def look(self, done, steps):
        """After `done` steps of an epoch of `steps`, which are complete: a line, or None if it is too early or told already."""
        now = time.perf_counter()
        early = self.mark is None and done + 1 < steps
        if early:
            self.mark = done, now
        if self.told or early or done >= steps:
            return None
        before, since = self.mark or self.begin
        if now - since < self.SECONDS and done + 1 < steps:
            return None
        self.told = True
        step = (now - since) / (done - before)
        whole = step * (steps * self.epochs - self.first + self.extra)
        end = datetime.now() + timedelta(seconds=max(0, whole - step * (done - self.first)))
        day = "%a %H:%M" if end.date() != datetime.now().date() else "%H:%M"
        return f"about {duration(whole)} for {self.what}, done around {end.strftime(day)}"
