"""SMOKE=1: the whole chain, from invented raw files to the table, by the scripts a user would run."""

import csv
import json
import sys

import numpy as np
import pytest


def test_smoke_chain(script, tmp_path):
    variables = {"SMOKE": 1, "OUT": tmp_path, "PYTHON": sys.executable, "METHOD": "mamp"}
    done = script("reproduce", timeout=600, **variables)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    stages = ("pretrain", "linprobe", "retrieval", "finetune", "finetune-0.5")
    found = {stage: json.loads((tmp_path / f"demo/mamp/{stage}/seed0/result.json").read_text()) for stage in stages}
    encoder = found["pretrain"]["checkpoint"]["sha256"]
    with open(tmp_path / "tables.csv", newline="") as file:
        others = {line["row"]: float(line["mean"]) for line in csv.DictReader(file) if line["table"] == "other results"}
    text = (tmp_path / "tables.md").read_text()
    for stage in stages[1:]:
        assert found[stage]["encoder"]["sha256"] == encoder and found[stage]["dataset"] == "demo"
        share = ", data_ratio 0.5" if "0.5" in stage else ""
        (mean,) = [v for row, v in others.items() if row.startswith(f"{stage.split('-')[0]}: MAMP{share}, dim_feat 16")]
        assert mean == found[stage]["last"]["test_acc1"]
        assert f"(demo/mamp/{stage}/seed0/config.yaml)" in text
    assert len(others) == 4 and found["finetune-0.5"]["labels"] == found["finetune"]["labels"] // 2

    again = script("reproduce", timeout=100, **variables)
    assert again.returncode == 0 and "main_" not in again.stdout and again.stderr.count("done already: ") == 5
    assert (tmp_path / "tables.md").read_text() == text


@pytest.mark.slow
def test_smoke_ensemble(script, tmp_path):
    done = script("ensemble", timeout=600, SMOKE=1, OUT=tmp_path, PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in done.stdout.splitlines()[-4:]]
    assert [row[1] for row in rows] == ["joint", "motion", "bone", ""]
    streams = [np.load(row[0]) for row in rows[:3]]
    total = sum(s["scores"].astype(np.float64) for s in streams)
    assert float(rows[3][3]) == pytest.approx(100 * np.mean(total.argmax(1) == streams[0]["label"]), abs=0.01)


@pytest.mark.slow
def test_smoke_ablations(script, tmp_path):
    done = script("ablation", timeout=1200, SMOKE=1, OUT=tmp_path, PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    made = [json.loads(f.read_text())["encoder"] for f in tmp_path.glob("demo/*/linprobe/seed0/result.json")]
    for key, values in {
        "decoder_depth": {2, 3, 4, 5},
        "decoder_dim_feat": {64, 128, 256, 512},
        "t_patch_size": {2, 4, 6, 8},
        "mask_ratio": {0.7, 0.8, 0.85, 0.9, 0.95},
        "epochs": {1, 2},
        "input_stream": {"joint", "motion"},
        "target": {"joint", "motion"},
    }.items():
        assert {encoder[key] for encoder in made} == values


@pytest.mark.slow
def test_smoke_comparison(script, tmp_path):
    done = script("compare", timeout=1200, SMOKE=1, OUT=tmp_path, PYTHON=sys.executable)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    text = (tmp_path / "compare-demo.md").read_text()
    assert done.stdout.endswith(text)
    rows = {part.split("\n")[0]: [line for line in part.split("\n") if line.startswith("| ")][2:] for part in text.split("\n## ")}
    judged = [len(lines) for title, lines in rows.items() if title not in ("Cost", "Notes")][1:]
    assert judged == [6, 6, 6, 6, 7] and len(rows["Cost"]) == 5  # three methods, two untrained encoders, coordinates
    found = json.loads((tmp_path / "demo/umurl/retrieval/seed0/result.json").read_text())
    assert f"| UmURL | {found['last']['test_acc1']:.1f} |" in next(line for line in rows["1-NN"] if line.startswith("| UmURL |"))
