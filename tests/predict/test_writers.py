"""Timelines against a frame-by-frame count, formats, class names, and mistakes on the command line."""

import csv
import io
import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

import main_predict
from predict.writers import Prediction, Writer
from tests.predict.helpers import changed
from util import checkpoint


def windows(seed):
    """Random windows of a recording as main_predict.py makes them, some left out, with random classes."""
    rng = np.random.default_rng(seed)
    frames, window = int(rng.integers(5, 120)), int(rng.integers(4, 40))
    stride, last = int(rng.integers(1, 50)), max(0, frames - window)
    starts = [s for s in [*range(0, last, stride), last] if rng.random() < 0.8]
    return frames, [(s, min(s + window, frames), [int(rng.integers(3))], [float(rng.random())]) for s in starts]


def test_each_frame_belongs_to_the_window_whose_middle_is_nearest():
    for seed in range(40):
        frames, seen = windows(seed)
        expected, ours = np.full((2, frames), -1)
        for t in range(frames):
            over = [w for w in seen if w[0] <= t < w[1]]
            if over:
                expected[t] = min(over, key=lambda w: abs((w[0] + w[1]) / 2 - (t + 0.5)))[2][0]
        spans = Prediction("a", frames, windows=seen).timeline()
        for start, end, number, _ in spans:
            assert start < end and (ours[start:end] == -1).all()
            ours[start:end] = number
        assert ((ours == -1) == (expected == -1)).all()
        assert (ours != expected).sum() <= len(seen)  # a border between two frames may fall on either side
        assert all(before[1] < after[0] or before[2] != after[2] for before, after in pairwise(spans))


def test_the_probability_of_a_span_is_the_mean_of_its_windows():
    answer = Prediction("a", 40, windows=[(0, 20, [1], [0.5]), (10, 30, [1], [0.7]), (20, 40, [2], [0.9])])
    assert answer.timeline() == [(0, 25, 1, pytest.approx(0.6)), (25, 40, 2, 0.9)]


TIMELINE = {"start": 0, "end": 20, "start_s": 0.0, "end_s": 2.0, "class": 1, "class_name": "stand, up", "probability": 0.5}
LIKELIEST = {"class": 1, "class_name": "stand, up", "probability": 0.5}


@pytest.mark.parametrize("windowed, row, line", [(True, TIMELINE, "0.0 - 2.0 s frames 0 - 19 "), (False, LIKELIEST, "")])
def test_answers_in_every_format(windowed, row, line):
    windows = [(0, 20, [1], [0.5]), (20, 40, [2], [0.9])] if windowed else [(0, 40, [1, 2], [0.5, 0.4])]
    answers = [Prediction('odd, "name"', 40, 10, windows)]
    writer = Writer(["sit", "stand, up", "class 2"], windowed, {"classes": 3})
    content = json.loads(writer.json(answers))
    (recording,) = content["recordings"]
    rows = recording["timeline" if windowed else "predictions"]
    assert content["classes"] == 3 and (recording["name"], recording["frames"], rows[0]) == ('odd, "name"', 40, row)
    first, second = csv.DictReader(io.StringIO(writer.csv(answers)))
    assert first.pop("rank", "1") == "1" and second["class_name"] == "class 2"
    assert first == {"name": 'odd, "name"', "frames": "40"} | {key: str(value) for key, value in row.items()}
    text = writer.text(answers).splitlines()
    assert text[0] == 'odd, "name"  (40 frames)' and len(text) == 3
    assert text[1].split() == f"{line}50.0 % stand, up".split()


def test_a_timeline_says_of_each_window_what_the_window_alone_gets(mamp, predict, tmp_path):
    rng = np.random.default_rng(3)
    room = np.cumsum(0.1 * rng.normal(size=(70, 25, 3)), axis=0) + rng.normal(size=(25, 3))
    room[30:52] = 0  # nobody is there
    np.save(tmp_path / "room.npy", room)
    result, code, _ = predict(mamp, tmp_path / "room.npy", "--window", 10, "--stride", 10, "--fps", 20)
    assert code == 0 and result["recordings"][0]["frames"] == 70
    starts = (0, 10, 20, 50, 60)
    for start in starts:
        np.save(tmp_path / f"part{start}.npy", room[start : start + 10])
    whole = changed(mamp, tmp_path / "whole.pth", test_p_interval=[1.0])  # a window is not cropped again
    parts, _, _ = predict(whole, *(tmp_path / f"part{start}.npy" for start in starts))
    best = [recording["predictions"][0] for recording in parts["recordings"]]
    windows = [(s, s + 10, [b["class"]], [b["probability"]]) for s, b in zip(starts, best, strict=True)]
    alone = Prediction("", 70, windows=windows)
    spans = result["recordings"][0]["timeline"]
    assert [(span["start"], span["end"], span["class"]) for span in spans] == [span[:3] for span in alone.timeline()]
    np.testing.assert_allclose([s["probability"] for s in spans], [s[3] for s in alone.timeline()], atol=1e-5)
    assert [span["start_s"] for span in spans] == [span["start"] / 20 for span in spans]


def test_names_are_those_of_the_file_else_numbers(mamp, raw, predict, tmp_path):
    recording = raw / "S001C001P002R001A008.skeleton"
    (tmp_path / "names.txt").write_text("".join(f"action {i}\n" for i in range(60)))
    result, _, _ = predict(mamp, recording, "--names", tmp_path / "names.txt")
    assert all(row["class_name"] == f"action {row['class']}" for row in result["recordings"][0]["predictions"])
    for text, message in (("one\ntwo\n", "2 class names, the classifier knows 60"), ("one\n\nthree\n", "line 2 is empty")):
        (tmp_path / "few.txt").write_text(text)
        with pytest.raises(ValueError, match=f"few.txt: {message}"):
            predict(mamp, recording, "--names", tmp_path / "few.txt")
    result, _, messages = predict(changed(mamp, tmp_path / "other.pth", data_path="somebody/elses.npz"), recording)
    assert all(row["class_name"] == f"class {row['class']}" for row in result["recordings"][0]["predictions"])
    assert "class names are not known" in messages


def test_the_command_writes_every_format(mamp, raw, predict, capsys, tmp_path):
    file = str(raw / "S001C001P002R001A008.skeleton")
    result, _, _ = predict(mamp, file)
    best = result["recordings"][0]["predictions"][0]
    command = ["--checkpoint", str(mamp), "--device", "cpu", "--top_k", "2", file]
    main_predict.main([*command, "--format", "csv", "--output", str(tmp_path / "new/answers.csv")])
    with open(tmp_path / "new/answers.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 2 and (rows[0]["name"], rows[0]["class_name"]) == (file, best["class_name"])
    main_predict.main(command)
    text = capsys.readouterr().out.splitlines()
    assert len(text) == 3 and text[0].startswith(file) and text[1].endswith(f"%  {best['class_name']}")


def test_nothing_is_written_when_nothing_could_be_read(mamp, predict, tmp_path):
    (tmp_path / "old.json").write_text("as before")
    result, code, _ = predict(mamp, tmp_path / "absent.npy", "--output", tmp_path / "old.json")
    assert code == 2 and result is None and [f.name for f in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "as before"


def test_a_pretraining_is_refused_and_other_mistakes_are_one_line(mamp, raw, shared, predict, tmp_path):
    recording = raw / "S001C001P002R001A008.skeleton"
    for name in ("pretrain_tiny25.pth", "umurl_small.pth.tar"):
        with pytest.raises(ValueError, match="holds no classifier, .*; the encoder alone: .* --features, .* --encoder"):
            predict(shared(f"parity/released_{name}"), recording)
    for words, message in (
        (("--stride", 4), "--window"),
        (("--window", 0), "--window 0: at least 1"),
        (("--fps", 0), "--fps 0"),
        (("--device", "tpu"), "device"),
        (("--data_path", tmp_path / "no.npz"), "no.npz"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            predict(mamp, recording, *words)
    odd = {"test_p_interval": {}}, {"test_p_interval": [5]}, {"input_stream": "smell"}, {"num_heads": 0}
    for config in odd:
        with pytest.raises(ValueError, match=f"odd.pth: {[*config][0]}"):
            predict(changed(mamp, tmp_path / "odd.pth", **config), recording)
    content = checkpoint.load(mamp)
    content["model"]["head.fc.1.bias"] = torch.full((60,), torch.nan)
    checkpoint.save(tmp_path / "nan.pth", content)
    with pytest.raises(ValueError, match="nan.pth: answers with values that are not finite"):
        predict(tmp_path / "nan.pth", recording)


@pytest.mark.parametrize("words, code", [(["--help"], 0), (["a.npy", "--checkpoint", "a.pth", "--topk", "3"], 2)])
def test_help_and_mistyped_options_are_answered_before_torch_is_imported(words, code):
    command = [sys.executable, "-X", "importtime", main_predict.__file__, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    modules = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert done.returncode == code and "predict.options" in modules and "torch" not in modules
