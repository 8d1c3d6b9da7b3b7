"""Turns a user's mistake into one line instead of a traceback. Does not load torch for commands that do without it."""

import os
import sys

from util import host, signals


def main(function):
    """Run a command's main. A user's mistake ends in one line and exit code 2 (a traceback with MAMP_TRACEBACK=1), a run that was
    asked to stop in exit code signals.REQUEUE."""
    together = False
    try:
        function()
        together = True
    except signals.Interrupted as stop:
        together = True  # all processes stop at the same step
        if not stop.saved and host.is_main():  # while computing features or evaluating
            print(f"stopped by {signals.signal_name()} with nothing new to save; the same command starts again", flush=True)
        sys.exit(signals.REQUEUE)
    except KeyboardInterrupt:
        if host.is_main():
            print("interrupted", file=sys.stderr, flush=True)
        sys.exit(130)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        lost_worker = isinstance(error, RuntimeError) and "DataLoader worker" in str(error)
        no_memory = type(error).__name__ in ("OutOfMemoryError", "MemoryError") or "DefaultCPUAllocator" in str(error)
        if os.environ.get("MAMP_TRACEBACK") == "1" or (isinstance(error, RuntimeError) and not lost_worker | no_memory):
            raise
        message = str(error).strip()
        if no_memory:
            remedy = "; a smaller --batch_size needs less of it" if "torch" in sys.modules else ""
            message = f"out of memory{remedy} ({' '.join(message.split())[:200]})"
        if lost_worker:
            message = f"{message.splitlines()[0]}; --num_workers 0 or --data_on_device do without, --resume auto goes on"
        if "Original Traceback" in message:  # of a loader's worker; the last line is "ValueError: what was wrong"
            message = message.splitlines()[-1].split(": ", 1)[-1]
        print(f"error: {message}", file=sys.stderr, flush=True)
        sys.exit(2)
    finally:
        if distributed := sys.modules.get("util.distributed"):
            distributed.cleanup(together)
