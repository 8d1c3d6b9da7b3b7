"""Statistics of the sequences of an npz against a count by hand, and their memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from data.prepare.inspect import inspect

ROOT = Path(__file__).resolve().parents[2]


def say(path):
    """The lines about a file, as one text."""
    return "\n".join(inspect(path)[0]) + "\n"


def damaged(rng, split, count, frames=9, joints=4):
    """Arrays of a split with empty and copied second bodies, gaps, a sequence without frames and values that are not finite."""
    x = rng.normal(size=(count, frames, 2, joints, 3)).astype(np.float32) * (1, 2, 3) + (0, 0, 5)
    x = x.astype(np.float32)
    for i in range(count):
        x[i, rng.integers(2, frames + 1) :] = 0
        if i % 3 == 0:
            x[i, :, 1] = 0
        if i % 3 == 1:
            x[i, :, 1] = x[i, :, 0]
    x[5, 0] = 0
    x[7, :] = 0
    x[8, 0, 0, 0, 0], x[8, 0, 1, 2, 1], x[10, 1, 0, 1, 2] = np.nan, np.inf, -np.inf
    label = rng.integers(0, 4, count)
    label[label == 2] = 1
    return {f"x_{split}": x.reshape(count, frames, -1), f"y_{split}": np.eye(4, dtype=np.uint8)[label]}, x, label


def test_facts_agree_with_a_count_by_hand(tmp_path):
    rng = np.random.default_rng(3)
    arrays, x, label = damaged(rng, "train", 23)
    more, _, _ = damaged(rng, "test", 11)
    group = np.array([f"P{i % 5}" for i in range(23)])
    names = np.array(["clap", "jump", "nap", "run"])
    np.savez(tmp_path / "a.npz", **arrays, **more, num_joints=4, num_bodies=2, class_names=names, group_train=group, layout="")
    text = say(tmp_path / "a.npz")
    train = text[text.index("train: 23 sequences") : text.index("test: 11 sequences")]

    counts = {k: list(label).count(k) for k in range(4) if k in label}
    few, many = min(counts, key=counts.get), max(counts, key=counts.get)
    assert f"classes: 3 of 4 occur; smallest: class {few} ({names[few]}) with {counts[few]}, largest: class {many} " in train
    frames = [sum(bool(frame.any()) for frame in sequence) for sequence in x]
    gaps = [max((t + 1 for t in range(9) if s[t].any()), default=0) - n for s, n in zip(x, frames, strict=True)]
    full = 100 * frames.count(9) / 23
    assert f"frames: {min(frames)} to {max(frames)}, median {np.median(frames):g}; {full:.1f} % fill all 9\n" in train
    assert "without any frame: 1 sequences, the first in row 7\n" in train
    between = f"all-zero frames in between: {sum(gaps)}, in {23 - gaps.count(0)} sequences, the first in row 5\n"
    assert gaps[5] == 1 and between in train
    empty = sum(not s[:, 1].any() for s in x)
    copies = sum(s[:, 1].any() and bool((s[:, 1] == s[:, 0]).all()) for s in x)
    assert f"second body: empty in {empty} sequences, a copy of the first in {copies}\n" in train and empty and copies
    assert f"NaN or infinite: {np.count_nonzero(~np.isfinite(x))} coordinates" in train
    points = np.concatenate([body for body in x.reshape(-1, 4, 3) if body.any()])
    whole = [values[np.isfinite(values)] for values in points.T]
    assert ", ".join(f"{axis} {v.min():.2f} to {v.max():.2f}" for axis, v in zip("xyz", whole, strict=True)) in train
    assert "groups: 5\n" in train and "groups" not in text[text.index("test: 11") :]


def test_memory_does_not_grow_with_the_file(tmp_path):
    """Of 540 MB, all zeros except for the last sequence, a few pieces of 8 MB are in memory at a time."""
    (x := np.zeros((3000, 300, 150), np.float32))[-1] = 1
    valid = np.where(x.any(axis=(1, 2)), 300, 0)
    np.savez(tmp_path / "large.npz", x_train=x, y_train=np.arange(3000) % 60, valid_frames_train=valid)
    code = (
        "import resource, feeder.feeder_ntu; from data.prepare.inspect import inspect\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024; before = peak()\n"
        f"print(*inspect({str(tmp_path / 'large.npz')!r})[0], sep='\\n'); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    (tmp_path / "large.npz").unlink()
    assert done.returncode == 0, done.stderr
    assert "without any frame: 2,999 sequences" in done.stdout and "drawn: train --index 2999" in done.stdout
    assert "valid_frames_train" not in done.stdout  # they agree
    assert int(done.stdout.split()[-1]) < 120, f"{done.stdout.split()[-1]} MB"


def test_coordinates_in_whole_numbers(tmp_path):
    x = np.random.default_rng(0).integers(-9, 10, (6, 5, 12)).astype(np.int8)
    sizes = {"num_joints": 4, "num_bodies": 1, "layout": ""}
    np.savez(tmp_path / "a.npz", x_train=x, y_train=np.eye(2, dtype=np.uint8)[[0, 1, 0, 1, 0, 1]], **sizes)
    ranges = [f"{axis} {x[..., i::3].min():.2f} to {x[..., i::3].max():.2f}" for i, axis in enumerate("xyz")]
    assert f"metres: {', '.join(ranges)}" in say(tmp_path / "a.npz")


def test_equal_sequences_are_reported(tmp_path):
    x = np.random.default_rng(4).normal(size=(6, 5, 12)).astype(np.float32)
    y = np.eye(2, dtype=np.uint8)[[0, 1, 0, 1, 0]]
    nearly = x[1].copy()
    nearly[4, 11] = np.nextafter(nearly[4, 11], np.float32(2))
    test = np.stack([x[4], x[2], nearly, x[5], x[0]])
    sizes = {"num_joints": 4, "num_bodies": 1, "layout": ""}
    train = {"x_train": x[[0, 1, 2, 1, 3]], "y_train": y}
    np.savez(tmp_path / "a.npz", **train, x_test=test, y_test=y, name_test=np.array(list("abcde")), **sizes)
    text = say(tmp_path / "a.npz")
    train, test = text.split("test: 5 sequences")
    line = "equal to an earlier sequence: 1 in this split; the first: train sample 3 = train sample 1\n"
    assert line in train
    assert "equal to an earlier sequence: 2 IN ANOTHER SPLIT; the first: test sample 1 (b) = train sample 2\n" in test
    np.savez(tmp_path / "a.npz", x_train=x[:5], y_train=y, x_test=x[5:], y_test=y[:1], **sizes)
    assert "equal to" not in say(tmp_path / "a.npz")
