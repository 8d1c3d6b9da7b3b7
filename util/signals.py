"""Being asked to stop: SIGTERM, SIGINT (Ctrl-C) or SIGUSR1 (a scheduler's warning) end a run at its next step, all saved."""

import os
import signal

from util import distributed

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
REQUEUE = 75  # exit code of a run that was asked to stop; "try again" in sysexits.h

_asked = []


class Interrupted(Exception):
    """The run was asked to stop. progress: where the epoch stands (util.engine.train_one_epoch), if it was being trained.

    saved: whether a checkpoint holds what was done.
    """

    def __init__(self, progress=None, saved=False):
        super().__init__("stopped")
        self.progress, self.saved = progress, saved


def listen():
    """From now on the signals are remembered; the same a second time ends the process at once."""
    forget()
    for number in SIGNALS:
        signal.signal(number, _remember)


def forget():
    """Forget the signals that came so far."""
    _asked.clear()


def _remember(number, frame):
    _asked.append(signal.Signals(number).name)
    signal.signal(number, signal.SIG_DFL)


def in_worker(worker=None):
    """For data loader workers: to stop is for the process that started them, but Ctrl-C and torchrun signal its whole group.

    So they leave the group. SIGTERM, by which that process ends them, they obey.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def asked():
    """Whether any rank was asked to stop: the same answer on every rank, which must all ask."""
    return distributed.any_of(bool(_asked))


def asked_here():
    """Whether this rank was asked."""
    return bool(_asked)


def by_what():
    """Name of the signal that this process got."""
    return _asked[0] if _asked else "another process's signal"
