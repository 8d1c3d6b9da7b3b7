"""What preparing NTU RGB+D costs: time against splitting the text, gain of a second process, peak memory against size.

    python -m scripts.bench_prepare [--files 500 5000] [--repeats 5]

The recordings are INVENTED (data/demo), linked under as many names as are wanted; all are in the page cache, so that the
processor is measured and not the disk. Ratios come from interleaved repeats in one process, after one that does not count.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from data.demo.make_demo import FOLDER, make_demo
from data.prepare import ntu
from data.prepare.denoise import denoise
from data.prepare.ntu_release import actions
from data.prepare.skeleton_file import read_skeleton

SCRIPTS = Path(ntu.__file__).resolve().parents[1] / "ntu120"


def names():
    """Names that NTU RGB+D 120 has."""
    for performer in range(1, 107):
        for setup in range(1, 33):
            for camera in (1, 2, 3):
                for action in actions(setup):
                    yield f"S{setup:03}C{camera:03}P{performer:03}R001A{action:03}"


def link(files, count, folder):
    """`count` names in `folder` for the recordings `files`, in turn."""
    folder.mkdir()
    for i, name in zip(range(count), names(), strict=False):
        (folder / f"{name}.skeleton").symlink_to(files[i % len(files)])
    return folder


def split_array(file):
    return np.array(file.read_bytes().split(), np.float64)


def split_fromstring(file):
    return np.fromstring(file.read_text(), np.float64, sep=" ")


def prepare(file):
    frames, bodies = read_skeleton(file)
    return ntu.translate(denoise(frames, bodies)) if frames else None


def cost(files, repeats):
    """{what: median seconds for all files}, interleaved."""
    ways = {
        "numpy: array(text.split())": split_array,
        "numpy: fromstring": split_fromstring,
        "read": read_skeleton,
        "read, denoise, translate": prepare,
    }
    seconds = {what: [] for what in ways}
    for _ in range(repeats + 1):
        for what, function in ways.items():
            begin = time.perf_counter()
            for file in files:
                function(file)
            seconds[what].append(time.perf_counter() - begin)
    return {what: statistics.median(times[1:]) for what, times in seconds.items()}


def command(*words):
    return [sys.executable, *map(str, words)]


def run(folder, out, workers):
    """Seconds of step 1 by the published command."""
    begin = time.perf_counter()
    words = command(SCRIPTS / ntu.STEPS[0], "--raw", folder, "--out", out, "--workers", workers)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begin


def peak(words):
    """Largest resident memory in MB of a command (Linux): of one of its processes; of all, where shared pages count twice."""
    process, one, together = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0, 0
    while process.poll() is None:
        now = list(memory(process.pid))
        one, together = max([one, *(most for most, _ in now)]), max(together, sum(current for _, current in now))
        time.sleep(0.01)
    if process.returncode:
        raise ChildProcessError(f"{' '.join(words)}: exit status {process.returncode}")
    return one, together


def memory(pid):
    """(largest so far, current) resident MB of a process and each of its descendants."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended
        return
    values = dict(line.split(":") for line in lines if line.startswith(("VmHWM", "VmRSS")))
    if len(values) == 2:
        yield tuple(int(values[key].split()[0]) / 1024 for key in ("VmHWM", "VmRSS"))
    for child in children:
        yield from memory(child)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[500, 5000], help="sizes at which memory is measured")
    parser.add_argument("--repeats", type=int, default=5, help="of every measurement of time")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as top:
        top = Path(top)
        make_demo(top / "demo", performers=3, actions=6, replications=1, progress=lambda *_: None)
        files = sorted((top / "demo" / FOLDER).glob("*.skeleton"))
        body_frames = sum(len(body.joints) for file in files for body in read_skeleton(file)[1])
        times = cost(files, args.repeats)
        print(f"{len(files)} INVENTED recordings, {body_frames} skeletons; {args.repeats} repeats; {os.cpu_count()} cores here\n")
        print("| | ms per skeleton | against the faster splitting |\n|---|---|---|")
        floor = min(value for what, value in times.items() if what.startswith("numpy"))
        for what, value in times.items():
            print(f"| {what} | {1e3 * value / body_frames:.3f} | {value / floor:.2f} |")
        folder = link(files, 8000, top / "many")
        seconds = {workers: [] for workers in (1, 2)}
        for _ in range(max(3, args.repeats // 2)):
            for workers in seconds:
                seconds[workers].append(run(folder, top / "out", workers))
        one, two = (statistics.median(times) for times in seconds.values())
        print(f"\nget_raw_skes_data.py, 8000 files: {one:.1f} s with --workers 1, {two:.1f} s with 2: {one / two:.2f}×")
        sizes = " | ".join(f"{count} files" for count in args.files)
        print(f"\n| peak resident MB of a process (of all together) | {sizes} |\n|---|{'---|' * len(args.files)}")
        rows = {script: [] for script in ntu.STEPS}
        for count in args.files:
            folder, out = link(files, count, top / f"files{count}"), top / f"out{count}"
            for script in ntu.STEPS:
                more = ["--raw", folder, "--workers", 2] if script == ntu.STEPS[0] else []
                rows[script].append(peak(command(SCRIPTS / script, "--out", out, *more)))
        for script, values in rows.items():
            print(f"| {script} | " + " | ".join(f"{one:.1f} ({together:.0f})" for one, together in values) + " |")


if __name__ == "__main__":
    main()
