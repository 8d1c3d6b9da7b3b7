import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.prepare import parallel


@pytest.mark.parametrize("workers", [1, 2])
def test_results_in_order_and_errors_collected(tmp_path, workers):
    skipped = parallel.Skipped()
    items = [str(i) if i % 10 else "x" for i in range(50)]
    done = list(parallel.each(int, items, "counting", skipped, workers))
    assert done == [(item, int(item)) for item in items if item != "x"]
    assert len(skipped.reasons) == 5 and "invalid literal for int() with base 10: 'x'" in skipped.reasons[0]
    skipped.write(tmp_path / "new" / "skipped.txt")
    assert (tmp_path / "new" / "skipped.txt").read_text().splitlines() == skipped.reasons


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinities")
def test_a_job_with_one_core_gets_one_process(monkeypatch):
    """Of a machine with many: a scheduler's share is what counts."""
    cores = os.sched_getaffinity(0)
    monkeypatch.setattr(parallel, "_run_in_pool", lambda *_: pytest.fail("several processes"))
    try:
        os.sched_setaffinity(0, [min(cores)])
        assert list(parallel.each(int, ["7"] * 500, "counting", parallel.Skipped(), None)) == [("7", 7)] * 500
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("workers", [1, 2])
def test_strict_stops_at_the_first_error(workers):
    done = []
    with pytest.raises(ValueError, match="'x'"):
        done.extend(parallel.each(int, ["1"] * 40 + ["x"] * 9, "counting", parallel.Skipped(strict=True), workers))
    assert done == [("1", 1)] * 40


def test_a_killed_worker_is_one_line():
    with pytest.raises(ChildProcessError, match="reading: a worker was killed, .*; try --workers 1"):
        list(parallel.each(os._exit, [9] * 40, "reading", parallel.Skipped(), workers=2))


def test_a_killed_parent_leaves_no_workers():
    code = """import os, time; from data.prepare import parallel
def work(i):
    time.sleep(0.05)
    return os.getpid()
for _, pid in parallel.each(work, range(999), "", parallel.Skipped(), 2, chunk=1):
    print(pid, flush=True)"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    workers = {int(parent.stdout.readline()) for _ in range(6)}
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 20
    while (left := list(filter(alive, workers))) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_number_of_workers():
    with pytest.raises(ValueError, match="--workers 0: at least 1"):
        list(parallel.each(int, ["1"], "counting", parallel.Skipped(), workers=0))
