"""Stopping: SIGTERM, SIGINT (Ctrl-C) and SIGUSR1 (a scheduler's warning) make a run save and end at its next step."""

import os
import signal
import time
from functools import wraps

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, name)]  # Windows has two
REQUEUE = 75  # exit code of a run that was asked to stop; EX_TEMPFAIL in sysexits.h

AGAIN = 1.0  # whoever signals a process group, a job or a launch script often reaches a process twice
_received, _first = [], {}  # names in the order of their coming; {signal: when it first came}
_before = {}  # {signal: its handler before `listen`}


class Interrupted(Exception):
    """The run was asked to stop. progress: of the epoch that was being trained, if any; saved: whether a checkpoint holds it."""

    def __init__(self, progress=None, saved=False):
        super().__init__("stopped")
        self.progress, self.saved = progress, saved


def listen():
    """Remember these signals from now on; the same one once more, after AGAIN seconds or later, ends the process at once."""
    forget()
    for number in SIGNALS:
        before = signal.signal(number, _remember)
        if before is not _remember:
            _before[number] = before


def restored(main):
    """Decorator: when `main` ends, signals have their former effect again, for programs that call it and go on."""

    @wraps(main)
    def wrapped(*args, **kwargs):
        try:
            return main(*args, **kwargs)
        finally:
            while _before:
                signal.signal(*_before.popitem())

    return wrapped


def forget():
    """Forget the signals that came so far."""
    _received.clear()
    _first.clear()


def _remember(number, frame):
    if time.monotonic() - _first.setdefault(number, time.monotonic()) >= AGAIN:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _received.append(signal.Signals(number).name)
    # if loader workers got the signal, too, torch's handler of their end would raise in the middle of a step
    if hasattr(signal, "SIGCHLD"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def in_worker(worker=None):
    """For data loader workers: leave the process group, which Ctrl-C and torchrun signal as a whole, and end only on SIGTERM,
    which the parent process sends."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)


def stop_requested():
    """Whether any rank was asked to stop. Every rank has to call this, and gets the same answer."""
    from util import distributed  # here, so that commands without training need not import torch

    return distributed.any_of(bool(_received))


def stop_requested_here():
    """Whether this rank was asked."""
    return bool(_received)


def signal_name():
    """Name of the signal that this process received."""
    return _received[0] if _received else "another process's signal"
