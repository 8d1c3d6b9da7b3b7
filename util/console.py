"""Progress of long work: a bar on a terminal, a line every half minute in a log file, nothing with --quiet. And warnings."""

import signal
import sys
import time
from datetime import datetime, timedelta
from functools import cache

from tqdm import tqdm

from util import host

EVERY = 30  # seconds between two lines of a log file

_quiet = []


def be_quiet(wanted=True):
    """For --quiet: show no progress and no messages other than results and warnings."""
    _quiet[:] = [True] if wanted else []


def end_with_reader():
    """End this process silently when the reader of its output ends (as in `| head`). For commands that only print."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)


@cache
def warn_once(line):
    """Print a warning to stderr, on rank 0, the first time only."""
    if host.is_main():
        print(line, file=sys.stderr, flush=True)


def quiet():
    return bool(_quiet)


class _Lines:
    """A file for tqdm that writes each state of the bar as a new line."""

    def __init__(self, file):
        self.file = file

    def write(self, text):
        text = text.strip()
        if text:
            self.file.write(f"{stamp(self.file)}{text}\n")

    def flush(self):
        self.file.flush()


def bar(things=None, title=None, total=None, unit="it", disable=False, **options):
    """tqdm over `things`; in a log file it reports only what takes longer than EVERY seconds. options: tqdm's."""
    if not sys.stderr.isatty():
        options |= {"file": _Lines(sys.stderr), "mininterval": EVERY, "delay": EVERY, "leave": False}
    return tqdm(things, desc=title, total=total, unit=unit, disable=disable or quiet(), **options)


def stamp(file):
    """Date and time to begin a line of a log file with; '' on a terminal."""
    return "" if file.isatty() else f"{datetime.now():%Y-%m-%d %H:%M}  "


def time_left(seconds):
    """'5 h 8 min left (Tue 14:05)'"""
    return f"{duration(seconds)} left ({clock(seconds)})"


def clock(seconds):
    """The time of day `seconds` from now, with the day of the week if it is not today."""
    end = datetime.now() + timedelta(seconds=max(0, seconds))
    return end.strftime("%H:%M" if end.date() == datetime.now().date() else "%a %H:%M")


NAMES = {"train_loss": "loss", "lr": "lr", "samples_per_s": "samples/s", "skipped_steps": "skipped", "test_acc1": "top-1"}


def metrics_text(metrics, before=None):
    """An epoch's most important metrics for a console line; log.jsonl has all. `lr` and the like only if they differ from
    `before`, the last epoch's metrics.
    """
    same = {key for key in ("lr", "skipped_steps") if (before or {}).get(key) == metrics.get(key)}
    same |= {"samples_per_s", *([] if metrics.get("skipped_steps") else ["skipped_steps"])} if "test_acc1" in metrics else set()
    names = NAMES | {key: key.removeprefix("test_acc1_") for key in metrics if key.startswith("test_acc1_")}  # of other read-outs
    found = ((name, metrics[key]) for key, name in names.items() if key in metrics and key not in same)
    return "  ".join(f"{name} {value:,.0f}" if value >= 1000 else f"{name} {value:.4g}" for name, value in found)


def duration(seconds):
    """'2 d 3 h', '5 h 8 min', '8 min' or '42 s'"""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return " ".join([f"{days} d {hours} h"] if days else [f"{hours} h {minutes} min"] if hours else [f"{minutes} min"])


class TimeEstimate:
    """Estimates once, after some seconds of the first epoch, how long all epochs will take.

    Time counts from the first call of `line`, since a run's first step is slower than the others.
    """

    SECONDS = 5

    def __init__(self, epochs):
        self.epochs, self.first, self.printed = epochs, None, False

    def line(self, step, steps):
        """After `step` of an epoch's `steps` updates: a line to print, or None if it is too early or was printed already."""
        now = time.perf_counter()
        if self.first is None:
            self.first = step, now
        first, since = self.first
        if self.printed or not first < step < steps or now - since < self.SECONDS:
            return None
        self.printed = True
        left = (now - since) / (step - first) * (steps * self.epochs - step)
        return f"about {time_left(left)} for {self.epochs} epochs"
