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
            self.file.write(f"{stamp(self.file)}{text}\n")

    def flush(self):
        self.file.flush()


def bar(things=None, title=None, total=None, unit="it", disable=False, **options):
    """tqdm over `things`; in a log file only what takes longer than half a minute is reported. options: tqdm's."""
    if not sys.stderr.isatty():
        options |= {"file": _Lines(sys.stderr), "mininterval": EVERY, "delay": EVERY, "leave": False}
    return tqdm(things, desc=title, total=total, unit=unit, disable=disable or quiet(), **options)


def stamp(file):
    """Date and time in front of a line of a log file, nothing on a terminal."""
    return "" if file.isatty() else f"{datetime.now():%Y-%m-%d %H:%M}  "


def ahead(seconds):
    """'5 h 8 min left (Tue 14:05)': with the time of day of the end."""
    return f"{duration(seconds)} left ({clock(seconds)})"


def clock(seconds):
    """The time of day in so many seconds, with the day of the week if that is another day."""
    end = datetime.now() + timedelta(seconds=max(0, seconds))
    return end.strftime("%H:%M" if end.date() == datetime.now().date() else "%a %H:%M")


NAMES = {"train_loss": "loss", "lr": "lr", "samples_per_s": "samples/s", "skipped_steps": "skipped", "test_acc1": "top-1"}


def numbers(metrics, before=None):
    """What a line of 100 columns has room for of an epoch's metrics, 4 digits each; log.jsonl has them all.

    Left out is what did not change since the last epoch, `before`, but for loss and accuracy.
    """
    same = {key for key in ("lr", "skipped_steps") if (before or {}).get(key) == metrics.get(key)}
    same |= {"samples_per_s", *([] if metrics.get("skipped_steps") else ["skipped_steps"])} if "test_acc1" in metrics else set()
    names = NAMES | {key: key.removeprefix("test_acc1_") for key in metrics if key.startswith("test_acc1_")}  # of other read-outs
    told = ((name, metrics[key]) for key, name in names.items() if key in metrics and key not in same)
    return "  ".join(f"{name} {value:,.0f}" if value >= 1000 else f"{name} {value:.4g}" for name, value in told)


def duration(seconds):
    """In the two largest units, such as '2 d 3 h', '5 h 8 min', '8 min' or '42 s'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return " ".join([f"{days} d {hours} h"] if days else [f"{hours} h {minutes} min"] if hours else [f"{minutes} min"])


class TimeEstimate:
    """How long the training of `epochs` epochs takes, from the first seconds of the first: a line, once.

    The first look is the beginning, since a run's first step is slower than the others.
    """

    SECONDS = 5

    def __init__(self, epochs):
        self.epochs, self.first, self.printed = epochs, None, False

    def look(self, step, steps):
        """After `step` of an epoch's `steps` updates: the line, or None if it is too early, too late, or was given already."""
        now = time.perf_counter()
        if self.first is None:
            self.first = step, now
        first, since = self.first
        if self.printed or not first < step < steps or now - since < self.SECONDS:
            return None
        self.printed = True
        left = (now - since) / (step - first) * (steps * self.epochs - step)
        return f"about {ahead(left)} for {self.epochs} epochs"
