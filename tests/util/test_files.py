"""Files that several processes write at once, and what stopped ones leave behind."""

import multiprocessing
import os
import platform
import signal
import time

import numpy as np
import pytest

from util import files, signals


def write_often(path, value):
    for _ in range(30):
        with files.written_aside(path) as file:
            np.savez(file, x=np.full(20_000, value))


def test_processes_that_write_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.npz"
    write_often(path, 0)
    processes = [multiprocessing.get_context("fork").Process(target=write_often, args=(path, value)) for value in (1, 2)]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        with np.load(path) as npz:  # whole at every moment
            assert len(set(npz["x"].tolist())) == 1
    assert [process.exitcode for process in processes] == [0, 0] and [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_what_a_killed_process_left_is_removed_by_the_next_one_and_nothing_else(tmp_path):
    def fall_asleep():
        with files.written_aside(tmp_path / "a.npz") as file:
            file.write(b"half")
            file.flush()
            time.sleep(60)

    process = multiprocessing.get_context("fork").Process(target=fall_asleep)
    process.start()
    while not list(tmp_path.glob("*.part")):
        time.sleep(0.01)
    (left,) = tmp_path.glob("*.part")
    write_often(tmp_path / "a.npz", 1)
    assert left.exists()  # it is still being written
    process.kill()
    process.join()
    others = [f"a.npz.{name}.part" for name in ("elsewhere-1", f"{platform.node()}-2-999999", f"{platform.node()}-x")]
    for name in (*others, "a.part", "b.npz.part"):  # of another machine, or of nobody that is known
        (tmp_path / name).write_bytes(b"")
    write_often(tmp_path / "a.npz", 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["a.npz", *others, "a.part", "b.npz.part"])


def test_signals_have_their_former_effect_after_a_run():
    def count(number, frame):
        counted.append(number)

    counted, before = [], signal.signal(signal.SIGINT, lambda number, frame: counted.append(number))
    try:
        handler = signal.getsignal(signal.SIGINT)

        @signals.restored
        def run_that_fails():
            signals.listen()
            signals.listen()  # of a main that it calls
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.stop_requested_here() and not counted
            raise ValueError("a mistake")

        with pytest.raises(ValueError, match="a mistake"):
            run_that_fails()
        assert signal.getsignal(signal.SIGINT) is handler
        os.kill(os.getpid(), signal.SIGINT)
        assert counted == [signal.SIGINT]
    finally:
        signals.forget()
        signal.signal(signal.SIGINT, before)
