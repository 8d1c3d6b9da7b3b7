"""Benchmark: samples/s, share of time, FLOP/s and memory of every part, compared between modes.

    python -m scripts.bench                                  # paper size; batch 8 on a CPU, 4 times 32 to an update on a GPU
    python -m scripts.bench --parts pretrain --modes release all --batch_size 4 --json bench.json
    python -m scripts.bench --parts pretrain --modes default amp --decoder self query cross    # MAMP's decoders side by side

release   as the published code, written from its description: attention scores and softmax in memory, float32, augmentation
          sample by sample, every body encoded, waiting for the device at every step, AdamW tensor by tensor
default   as the mains do it          amp   --enable_amp          compile   --compile
all       --enable_amp --skip_empty_bodies --data_on_device, on a GPU also --compile

Modes (in pre-training each with every --decoder, `release` only with `self`) take turns, each in a new process that runs alone
and begins with as many steps of burn-in: with other processes' memory around, `release`, which allocates and frees gigabytes in
every step, was a third to a half slower. Results are medians over the repeats, for processor time (all cores, without data loader
processes) the minimum. The data are INVENTED: random walks, a share --empty of the second bodies all zeros. For preparing raw
recordings see scripts/bench_prepare.py.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository: the script runs from any folder

from util.options import OPTIONS

PARTS = ("pretrain", "finetune", "inference", "feeder")
SIZES = {"dim_feat": 256, "depth": 8, "decoder_depth": 5, "num_frames": 120, "num_joints": 25}
# differences from the default; skip: --skip_empty_bodies; resident: --data_on_device
MODES = {"release": {"release"}, "default": set(), "amp": {"amp"}, "compile": {"compile"}, "all": {"amp", "skip", "resident"}}


def build_parser():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    p.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES))
    p.add_argument("--device", help="default: cuda if there is a GPU, else cpu")
    p.add_argument("--tf32", action=argparse.BooleanOptionalAction, default=True, help="of all modes, see the mains")
    p.add_argument("--threads", type=int, help="CPU threads; default: one for each core")
    p.add_argument("--batch_size", type=int, help="samples that pass together; default: 8 on a CPU, 32 on a GPU")
    p.add_argument("--accum_iter", type=int, help="passes to an update; default: 1 on a CPU, 4 on a GPU, as in pre-training")
    p.add_argument("--steps", type=int, help="passes per repeat; default: 2 on a CPU, 40 on a GPU")
    p.add_argument("--repeats", type=int, default=5)
    p.add_argument("--num_workers", type=int, help="loader processes (not of release); default: 0 on a CPU, 4 on a GPU")
    p.add_argument("--empty", type=float, default=0.5, help="share of the second bodies that are all zeros")
    p.add_argument("--peak_tflops", type=float, help="of the device; default: its data sheet, or a matrix product's speed")
    for name, size in SIZES.items():
        p.add_argument(f"--{name}", type=int, default=size)
    p.add_argument("--decoder", nargs="+", choices=OPTIONS["decoder"].choices, default=["self"], help="of pre-training")
    p.add_argument("--query_frames", type=int, default=24)
    p.add_argument("--predict_ratio", type=float, default=0.25)
    p.add_argument("--json", help="file for all numbers")
    p.add_argument("--quick", action="store_true", help="tiny sizes, to see that everything runs; the numbers mean nothing")
    return p


if __name__ == "__main__":  # answer --help before importing torch, which takes seconds
    build_parser().parse_args()

import gc
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date

import torch

from scripts.bench_stages import CLASSES, PerSample, Stage, decoder, feeder_of, invent, loader
from scripts.tables import markdown_table
from util import console, distributed, errors, host
from util.engine import allow_tf32
from util.hardware import flops, hardware, peak_tflops
from util.logging import versions
from util.memory import keep_freed


def repeat(part, name, own_decoder, path, o):
    """One repeat of a mode, after one of burn-in; runs in a process of its own."""
    device = distributed.setup(o.device)
    torch.set_num_threads(o.threads)
    allow_tf32(device, o.tf32)
    console.be_quiet(True)
    if device.type == "cpu" and name != "release":
        keep_freed()
    stage = Stage(part, MODES[name], feeder_of(path, o), o, device, own_decoder)
    stage.run()
    seconds = stage.run()
    numbers = seconds | {
        "names": stage.names,
        "gib": stage.memory(),
        "busy": stage.busy(seconds["wall"]),
        "counted": stage.counted(),
    }
    del stage
    gc.collect()  # ends the loader's workers
    return numbers


def measure(part, modes, peaks, path, o):
    """{mode (and decoder): medians over interleaved repeats}, without those that fail, out of memory for instance, which are
    printed. peaks: {whether with --enable_amp: TFLOP/s}."""
    ways, rows = {}, {}
    for mode in modes:
        for own in ["self"] if mode == "release" or part != "pretrain" else o.decoder:
            ways[mode if own == "self" else f"{mode}, {own}"] = mode, own

    turns = {name: [] for name in ways}  # measurements of each

    def alone(name):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            try:
                turns[name].append(pool.submit(repeat, part, *ways[name], path, o).result())
            except Exception as error:
                print(f"bench: {part} cannot be run in mode {name}: {error}", file=sys.stderr)
                del turns[name]

    for _ in range(o.repeats):
        for name in list(turns):
            alone(name)
    for name, own in turns.items():
        mode, own_decoder = ways[name]
        names = own[0]["names"]
        middle = {k: statistics.median(each[k] for each in own) for k in ("wall", *names)}
        speed, peak = o.steps * o.batch_size / middle["wall"], peaks["amp" in MODES[mode]]
        work = flops(part, classes=CLASSES, **{k: getattr(o, k) for k in SIZES}, **decoder(own_decoder, o))
        tflops = speed * work / 1e12
        rows[name] = {
            "samples_per_s": speed,
            "share": {k: middle[k] / sum(middle[n] for n in names) for k in names},
            "gflop_forward": work / 1e9 / (1 if part == "inference" else 3),
            "gflop_counted": own[0]["counted"] / 1e9,
            "tflops": tflops,
            "peak_tflops": peak,
            "mfu": tflops / peak,
            "processor_s": min(each["processor"] for each in own) / o.steps,
            "peak_gib": max(each["gib"] for each in own),
            "busy": None if own[0]["busy"] is None else statistics.median(each["busy"] for each in own),
            "repeats": [each["wall"] for each in own],
        }
    return rows


def measure_feeder(path, o):
    """{way of making batches: {'samples_per_s'}} on one core."""
    feeder, cpu, threads = feeder_of(path, o), torch.device("cpu"), torch.get_num_threads()
    batched, resident = (loader(feeder, o, cpu, resident=r) for r in (False, True))
    ways = {"sample by sample": PerSample(batched), "batched": batched, "batched, in memory": resident}
    times = {name: [] for name in ways}
    torch.set_num_threads(1)
    keep_freed()
    for repeat in range(3 * o.repeats + 1):
        for name, batches in ways.items():
            begin = time.perf_counter()
            samples = sum(len(x) for x, *_ in batches)
            if repeat:
                times[name].append((time.perf_counter() - begin) / samples)
    torch.set_num_threads(threads)
    return {name: {"samples_per_s": 1 / statistics.median(t)} for name, t in times.items()}


def table(part, rows):
    """Markdown table; ratios are to the first row."""
    first, lines = next(iter(rows.values())), []
    for name, row in rows.items():
        speed = row["samples_per_s"]
        line = {part: name, "samples/s": f"{speed:.4g}", "ratio": f"{speed / first['samples_per_s']:.2f}"}
        if "share" in row:
            line |= {
                "CPU s a step": f"{row['processor_s']:.2f}",
                "ratio of CPU s": f"{first['processor_s'] / row['processor_s']:.2f}",
                "GiB": f"{row['peak_gib']:.1f}",
                "GFLOP forward: formula / counted": f"{row['gflop_forward']:.4g} / {row['gflop_counted']:.4g}",
                "% of the time": ", ".join(f"{key} {100 * share:.0f}" for key, share in row["share"].items()),
                "TFLOP/s": f"{row['tflops']:.3g}",
                "MFU": f"{100 * row['mfu']:.0f} % of {row['peak_tflops']:.3g}",
            }
            line |= {} if row["busy"] is None else {"device busy": f"{100 * row['busy']:.0f} %"}
        lines.append(line)
    return markdown_table(list(lines[0]), [line.values() for line in lines])


def options(argv=None):
    o = build_parser().parse_args(argv)
    o.device = o.device or ("cuda" if torch.cuda.is_available() else "cpu")
    o.threads = o.threads or host.cores()
    if o.quick:
        o.dim_feat, o.depth, o.decoder_depth, o.num_frames, o.num_joints, o.query_frames, o.repeats = 32, 2, 1, 16, 5, 8, 1
    for key, values in {"batch_size": (8, 32), "accum_iter": (1, 4), "steps": (2, 40), "num_workers": (0, 4)}.items():
        if getattr(o, key) is None:
            setattr(o, key, values[o.device.startswith("cuda")])
    return o


def main(argv=None):
    o = options(argv)
    device, results, load = distributed.setup(o.device), {}, [os.getloadavg()[0]] * 2
    torch.set_num_threads(o.threads)
    print(
        f"{date.today()}: {hardware(device)}, {o.threads} CPU threads, torch {torch.__version__}, batch {o.batch_size} "
        f"(x {o.accum_iter} to an update), INVENTED data, {o.empty:.0%} of the second bodies empty\n"
    )
    allow_tf32(device, o.tf32)
    peaks = {amp: o.peak_tflops or peak_tflops(device, amp, o.tf32) for amp in {"amp" in MODES[name] for name in o.modes}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.npz")
        invent(path, o, samples=max(64, min(o.steps * o.batch_size, 2048)))
        for part in o.parts:
            if modes := [mode for mode in o.modes if (mode, part) != ("compile", "inference")]:
                results[part] = measure_feeder(path, o) if part == "feeder" else measure(part, modes, peaks, path, o)
                print((table(part, results[part]) if results[part] else f"{part}: no mode could be run") + "\n", flush=True)
                load[1] = os.getloadavg()[0]
                if o.json:  # after every part, since the next may be stopped
                    content = {"date": str(date.today()), "hardware": hardware(device), "versions": versions()}
                    Path(o.json).write_text(
                        json.dumps(content | {"options": vars(o), "load": load, "parts": results}, indent=2) + "\n"
                    )
    print("GFLOP by formula, and TFLOP/s: of both bodies, also where a mode leaves some out.")
    print(f"Processes that wanted a core, mean over a minute, at the beginning and in the end: {load[0]:.1f}, {load[1]:.1f}")
    if not all(results.values()):
        sys.exit(1)


if __name__ == "__main__":
    errors.main(main)
