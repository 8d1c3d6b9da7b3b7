"""Timelines and formats, class names, and mistakes on the command line."""

import csv

import numpy as np
import pytest
import torch

import main_predict
from util import checkpoint


def test_a_timeline_says_of_each_window_what_the_window_alone_gets(mamp, predict, tmp_path):
    rng = np.random.default_rng(3)
    room = np.cumsum(0.1 * rng.normal(size=(70, 25, 3)), axis=0) + rng.normal(size=(25, 3))
    room[30:52] = 0  # nobody is there
    np.save(tmp_path / "room.npy", room)
    result, code, _ = predict(mamp, tmp_path / "room.npy", "--window", 10, "--stride", 10, "--fps", 20)
    spans = result["recordings"][0]["timeline"]
    assert code == 0 and result["recordings"][0]["frames"] == 70
    content = checkpoint.load(mamp)
    content["config"]["test_p_interval"] = [1.0]  # a window is not cropped again
    checkpoint.save(tmp_path / "whole.pth", content)
    seen = []
    for start in (0, 10, 20, 50, 60):
        np.save(tmp_path / "part.npy", room[start : start + 10])
        part, _, _ = predict(tmp_path / "whole.pth", tmp_path / "part.npy")
        seen.append((start, start + 10, part["recordings"][0]["predictions"][0]))
    merged = []
    for start, end, best in seen:
        if merged and merged[-1]["class"] == best["class"] and merged[-1]["end"] == start:
            merged[-1]["end"] = end
        else:
            merged.append({"start": start, "end": end, "class": best["class"]})
    assert [{k: span[k] for k in ("start", "end", "class")} for span in spans] == merged
    assert [(span["start_s"], span["end_s"]) for span in spans] == [(s["start"] / 20, s["end"] / 20) for s in merged]
    last = [best["probability"] for start, _, best in seen if start >= spans[-1]["start"]]
    assert spans[-1]["probability"] == pytest.approx(np.mean(last), abs=1e-5)


def test_csv_and_text_say_what_json_says(mamp, raw, predict, capsys, tmp_path):
    files = [str(raw / f"{name}.skeleton") for name in ("S001C001P002R001A008", "S001C001P003R001A008")]
    result, _, _ = predict(mamp, *files)
    command = ["--checkpoint", str(mamp), "--device", "cpu", "--top_k", "2", *files]
    main_predict.main([*command, "--format", "csv", "--output", str(tmp_path / "new/answers.csv")])
    with open(tmp_path / "new/answers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(r, rank, row) for r in result["recordings"] for rank, row in enumerate(r["predictions"][:2], 1)]
    assert len(rows) == len(expected) == 4
    for row, (recording, rank, best) in zip(rows, expected, strict=True):
        assert (row["name"], row["frames"], row["rank"]) == (recording["name"], str(recording["frames"]), str(rank))
        assert (row["class"], row["class_name"]) == (str(best["class"]), best["class_name"])
        assert float(row["probability"]) == best["probability"]
    capsys.readouterr()
    main_predict.main(command)
    text = capsys.readouterr().out.splitlines()
    assert len(text) == 6 and text[0].startswith(files[0]) and text[3].startswith(files[1])
    assert text[1].split("%")[1].strip() == expected[0][2]["class_name"]
    assert float(text[1].split("%")[0]) == pytest.approx(100 * expected[0][2]["probability"], abs=0.06)


def test_names_are_those_of_the_file_else_numbers(mamp, raw, predict, tmp_path):
    recording = raw / "S001C001P002R001A008.skeleton"
    (tmp_path / "names.txt").write_text("".join(f"action {i}\n" for i in range(60)))
    result, _, _ = predict(mamp, recording, "--names", tmp_path / "names.txt")
    assert all(row["class_name"] == f"action {row['class']}" for row in result["recordings"][0]["predictions"])
    (tmp_path / "few.txt").write_text("one\ntwo\n")
    with pytest.raises(ValueError, match="few.txt: 2 class names, the classifier knows 60"):
        predict(mamp, recording, "--names", tmp_path / "few.txt")
    (tmp_path / "gap.txt").write_text("one\n\nthree\n")
    with pytest.raises(ValueError, match="gap.txt: line 2 is empty"):
        predict(mamp, recording, "--names", tmp_path / "gap.txt")
    content = checkpoint.load(mamp)
    content["config"] |= {"data_path": "somebody/elses.npz"}
    checkpoint.save(tmp_path / "other.pth", content)
    result, _, messages = predict(tmp_path / "other.pth", recording)
    assert all(row["class_name"] == f"class {row['class']}" for row in result["recordings"][0]["predictions"])
    assert "class names are not known" in messages


def test_nothing_is_written_when_nothing_could_be_read(mamp, predict, tmp_path):
    (tmp_path / "old.json").write_text("as before")
    result, code, _ = predict(mamp, tmp_path / "absent.npy", "--output", tmp_path / "old.json")
    assert code == 2 and result is None and [f.name for f in tmp_path.iterdir()] == ["old.json"]
    assert (tmp_path / "old.json").read_text() == "as before"


def test_a_pretraining_is_refused_and_other_mistakes_are_one_line(mamp, raw, shared, predict, tmp_path):
    recording = raw / "S001C001P002R001A008.skeleton"
    with pytest.raises(ValueError, match="holds no classifier, only a pre-trained encoder; main_linprobe.py"):
        predict(shared("parity/released_pretrain_tiny25.pth"), recording)
    with pytest.raises(ValueError, match="holds no classifier"):
        predict(shared("parity/released_umurl_small.pth.tar"), recording)
    for words, message in (
        (("--stride", 4), "--window"),
        (("--window", 0), "--window 0: at least 1"),
        (("--fps", 0), "--fps 0"),
        (("--device", "tpu"), "device"),
        (("--data_path", tmp_path / "no.npz"), "no.npz"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            predict(mamp, recording, *words)
    content = checkpoint.load(mamp)
    odd = ("num_frames", "many"), ("test_p_interval", {}), ("test_p_interval", [5]), ("input_stream", "smell"), ("num_heads", 0)
    for key, value in odd:
        checkpoint.save(tmp_path / "odd.pth", content | {"config": content["config"] | {key: value}})
        if key != "num_frames":  # the weights know it
            with pytest.raises(ValueError, match=f"odd.pth: {key}"):
                predict(tmp_path / "odd.pth", recording)
    content["model"]["head.fc.1.bias"] = torch.full((60,), torch.nan)
    checkpoint.save(tmp_path / "nan.pth", content)
    with pytest.raises(ValueError, match="nan.pth: answers with values that are not finite"):
        predict(tmp_path / "nan.pth", recording)
