"""Benchmark of preparing NTU RGB+D: time relative to splitting the text, gain of a second process, peak memory by size.

    python -m scripts.bench_prepare [--files 500 5000] [--repeats 5]

The recordings are INVENTED (data/demo), linked under as many names as needed; all are in the page cache, so that the disk is not
measured. Ratios are from interleaved repeats in one process, after a first one that is not counted.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder

import numpy as np

from data.demo.make_demo import FOLDER, make_demo
from data.prepare import ntu
from data.prepare.denoise import denoise
from data.prepare.ntu_release import actions
from data.prepare.skeleton_file import read_skeleton
from scripts.tables import markdown_table
from util import errors, host

SCRIPTS = Path(ntu.__file__).resolve().parents[1] / "ntu120"


def link(files, count, folder):
    """Link the recordings `files`, repeated, under `count` names of NTU RGB+D 120 in `folder`."""
    folder.mkdir()
    places = itertools.product(range(1, 107), range(1, 33), (1, 2, 3))
    names = (f"S{s:03}C{c:03}P{p:03}R001A{action:03}" for p, s, c in places for action in actions(s))
    for name, file in zip(itertools.islice(names, count), itertools.cycle(files), strict=False):
        (folder / f"{name}.skeleton").symlink_to(file)
    return folder


def prepare(file):
    frames, bodies = read_skeleton(file)
    return ntu.translate(denoise(frames, bodies)) if frames else None


def cost(files, repeats):
    """{what: median seconds for all files}, from interleaved repeats."""
    ways = {
        "numpy: array(text.split())": lambda file: np.array(file.read_bytes().split(), np.float64),
        "numpy: fromstring": lambda file: np.fromstring(file.read_text(), np.float64, sep=" "),
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


def run(script, out, *more, watch=False):
    """(seconds, peak resident memory in MB, Linux) of a published command. watch: measure memory, which takes time. '41.2 (100)':
    of the largest process, and of all together (shared pages count several times)."""
    words = [sys.executable, *map(str, (SCRIPTS / script, "--out", out, *more))]
    begin, one, together = time.perf_counter(), 0, 0
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if not watch:
        process.wait()
    while process.poll() is None:
        now = list(memory(process.pid))
        one, together = max([one, *(most for most, _ in now)]), max(together, sum(current for _, current in now))
        time.sleep(0.01)
    if process.returncode:
        raise ChildProcessError(f"{' '.join(words)}: exit status {process.returncode}")
    return time.perf_counter() - begin, f"{one:.1f} ({together:.0f})"


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
        print(f"{len(files)} INVENTED recordings, {body_frames} skeletons; {args.repeats} repeats; {host.cores()} cores here\n")
        floor = min(value for what, value in times.items() if what.startswith("numpy"))
        rows = [(what, f"{1e3 * value / body_frames:.3f}", f"{value / floor:.2f}") for what, value in times.items()]
        print(markdown_table(("", "ms per skeleton", "against the faster splitting"), rows))
        first, *_ = ntu.STEPS
        folder, repeats = link(files, 8000, top / "many"), range(max(3, args.repeats // 2))
        turns = [[run(first, top / "out", "--raw", folder, "--workers", workers)[0] for workers in (1, 2)] for _ in repeats]
        one, two = map(statistics.median, zip(*turns, strict=True))
        print(f"\n{first}, 8000 files: {one:.1f} s with --workers 1, {two:.1f} s with 2: {one / two:.2f}×\n")
        peaks = []
        for count in args.files:
            folder, out = link(files, count, top / f"files{count}"), top / f"out{count}"
            more = {first: ["--raw", folder, "--workers", 2]}
            peaks.append([run(script, out, *more.get(script, []), watch=True)[1] for script in ntu.STEPS])
        head = ("peak resident MB of a process (of all together)", *(f"{count} files" for count in args.files))
        print(markdown_table(head, zip(ntu.STEPS, *peaks, strict=True)))


if __name__ == "__main__":
    errors.main(main)
