"""Commands in processes of their own that are forked from one that has imported torch and the mains: a start costs a tenth of a
second instead of three. See the fixtures `fork` and `command` of conftest.py; this module is what the forks find imported."""

import importlib
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from pathlib import Path

import matplotlib.backends.backend_agg  # noqa: F401 (of the report pages)
import pytest
import torch
import torch.utils.tensorboard

import main_finetune  # noqa: F401
import main_linprobe  # noqa: F401
import main_pretrain  # noqa: F401
import main_retrieval  # noqa: F401
import report.run_page  # noqa: F401
from util import errors

ROOT = Path(__file__).resolve().parents[1]


def begin(environment, stdout=os.devnull, stderr=os.devnull):
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # as in a process of the command line, of data loader workers
    os.environ.update(environment)
    for number, path in ((1, stdout), (2, stderr)):
        with open(path, "w") as file:
            os.dup2(file.fileno(), number)


def run_main(stage, line, environment):
    """A main with these options, printing nothing; it exits as on the command line."""
    begin(environment)
    try:
        errors.main(lambda: importlib.import_module(f"main_{stage}").main(line))
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would make another exit code of a worker's end


def run_python(words, folder, environment, stdout, stderr):
    """`python WORDS...` in a folder; words begin with a script's path or -m and a module."""
    begin(environment, stdout, stderr)
    os.chdir(folder)
    if words[0] == "-m":
        sys.argv, sys.path[:0] = words[1:], [str(folder)]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[:0] = words, [str(Path(words[0]).resolve().parent)]
        runpy.run_path(words[0], run_name="__main__")


def descendants(pid):
    """Process numbers of the children, theirs, and so on."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    if not path.exists():
        pytest.skip("this system does not list a process's children")
    children = list(map(int, path.read_text().split()))
    return children + [below for child in children for below in descendants(child)]


def wait_for_epochs(number, folder, *processes):
    """Until the log of a run has so many lines; its processes have to be running."""
    log, deadline = folder / "log.jsonl", time.monotonic() + 200
    while not log.exists() or log.read_text().count("\n") < number:
        codes = [p.poll() if hasattr(p, "poll") else p.exitcode for p in processes]
        assert time.monotonic() < deadline and codes == [None] * len(codes)
        time.sleep(0.005)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def group(processes):
    """For each rank of a group on this machine, its environment."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    return [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
