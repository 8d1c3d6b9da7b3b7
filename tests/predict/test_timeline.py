"""Timelines against a frame-by-frame count, and what is written."""

import csv
import io
import json

import numpy as np
import pytest

from predict.writers import Answer, Writer


def windows(seed):
    """Random windows of a recording as main_predict.py makes them, some left out, with random classes."""
    rng = np.random.default_rng(seed)
    frames, window = int(rng.integers(5, 120)), int(rng.integers(4, 40))
    stride, last = int(rng.integers(1, 50)), max(0, frames - window)
    starts = [s for s in [*range(0, last, stride), last] if rng.random() < 0.8]
    return frames, [(s, min(s + window, frames), [int(rng.integers(3))], [float(rng.random())]) for s in starts]


@pytest.mark.parametrize("seed", range(40))
def test_each_frame_belongs_to_the_window_whose_middle_is_nearest(seed):
    frames, seen = windows(seed)
    expected = np.full(frames, -1)
    for t in range(frames):
        over = [w for w in seen if w[0] <= t < w[1]]
        if over:
            expected[t] = min(over, key=lambda w: abs((w[0] + w[1]) / 2 - (t + 0.5)))[2][0]
    spans = Answer("a", frames, seen).timeline()
    ours = np.full(frames, -1)
    for start, end, number, _ in spans:
        assert start < end and (ours[start:end] == -1).all()
        ours[start:end] = number
    assert ((ours == -1) == (expected == -1)).all()
    assert (ours != expected).sum() <= len(seen)  # a border between two frames may fall on either side
    for before, after in zip(spans, spans[1:], strict=False):
        assert before[1] < after[0] or before[2] != after[2]


def test_the_probability_of_a_span_is_the_mean_of_its_windows():
    answer = Answer("a", 40, [(0, 20, [1], [0.5]), (10, 30, [1], [0.7]), (20, 40, [2], [0.9])])
    assert answer.timeline() == [(0, 25, 1, pytest.approx(0.6)), (25, 40, 2, 0.9)]


def test_a_timeline_in_every_format():
    answers = [Answer('odd, "name"', 40, [(0, 20, [1], [0.5]), (20, 40, [2], [0.9])])]
    writer = Writer(["sit", "stand, up", "class 2"], True, 10, {"classes": 3})
    row = {"start": 0, "end": 20, "start_s": 0.0, "end_s": 2.0, "class": 1, "class_name": "stand, up", "probability": 0.5}
    content = json.loads(writer.json(answers))
    (recording,) = content["recordings"]
    assert (recording["name"], recording["frames"], recording["timeline"][0]) == ('odd, "name"', 40, row)
    assert content["classes"] == 3
    first, second = csv.DictReader(io.StringIO(writer.csv(answers)))
    assert first == {"name": 'odd, "name"', "frames": "40"} | {key: str(value) for key, value in row.items()}
    assert second["class_name"] == "class 2" and second["end_s"] == "4.0"
    text = writer.text(answers).splitlines()
    assert text[0] == 'odd, "name"  (40 frames)' and len(text) == 3
    assert text[1].split() == "0.0 - 2.0 s frames 0 - 19 50.0 % stand, up".split()
