"""report.html against the run it is about, other people's formulas, hostile names and folders."""

import base64
import csv
import hashlib
import io
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.metrics import confusion_matrix, recall_score

import main_retrieval
from report import run_page
from scripts import report as script
from tests.conftest import EVIL
from tests.runs import read
from util import config

ROOT = Path(__file__).resolve().parents[2]
DOWNSTREAM = ("linprobe", "finetune", "retrieval", "eval")
NAMES = [EVIL, 'drink "water" & tea', "walk"]


@pytest.fixture
def copied(finished, tmp_path):
    """copied(stage) -> a copy of a finished run's folder, to be spoilt."""
    return lambda stage: shutil.copytree(finished / stage, tmp_path / "run")


def table_of_classes(seen):
    start = next(k for k, row in enumerate(seen.rows) if row[:3] == ["class", "name", "accuracy"])
    return seen.rows[start + 1 : start + 4]


@pytest.mark.parametrize("stage", ["pretrain", *DOWNSTREAM])
def test_every_finished_run_leaves_a_page_that_needs_nothing_else(stage, finished, page):
    text, seen = (finished / stage / "report.html").read_text(), page(finished / stage)
    result = read(finished / stage)
    assert not seen.problems
    links = [a[k] for _, a in seen.tags for k in ("src", "href", "xlink:href", "data", "action") if k in a]
    pictures = [link for link in links if link.startswith("data:image/png;base64,")]
    files = [link for link in links if link not in pictures and not link.startswith(("#", "data:text/csv"))]
    assert files and all((finished / stage / link).is_file() for link in files)
    assert "@import" not in text and "url(" not in text.replace("url(#", "")
    urls = re.findall(r"(?:\w+:)?//\w[\w-]*\.[^\s\"'<]+", re.sub(r"base64,[^\"]+", "", text))
    assert all(url.startswith("http://www.w3.org/") for url in urls)  # names, not places
    drawn = [Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) for picture in pictures]
    assert len(drawn) == (2 if stage == "pretrain" else 0) and all(np.ptp(np.asarray(picture)) > 100 for picture in drawn)
    assert ("main_linprobe.py" in seen.words) == (stage == "pretrain" or "main_linprobe.py" in result["command"])
    headline = f"{result['last']['test_acc1']:.2f} %" if stage != "pretrain" else f"{result['last']['train_loss']:.4f}"
    assert headline in seen.words and result["command"] in seen.words and result["versions"]["torch"] in seen.words
    for line in (finished / stage / "config.yaml").read_text().splitlines():
        assert line in seen.words
    for origin in (result.get("checkpoint"), result.get("encoder")):
        assert origin is None or origin["sha256"] in seen.words
    moving = "Neighbours" if stage == "retrieval" else "Sequences"
    assert all((title in seen.words) == (stage != "pretrain") for title in ("Accuracy per class", "Confusion matrix", moving))
    assert ("learning rate" in seen.words) == (stage not in ("retrieval", "eval"))
    assert "Features" not in seen.words  # a t-SNE of 13 sequences shows nothing


@pytest.mark.parametrize("stage", ["pretrain", "linprobe", "finetune"])
def test_curves_are_those_of_the_log(stage, finished, page):
    log, titles = read(finished / stage, "log.jsonl"), page(finished / stage).titles
    quantities = {"train": "train_loss", "test": "test_loss", "top-1": "test_acc1", "learning rate": "lr"}
    for name, key in (quantities | {name: f"test_acc1_{name}" for name in ("per_joint", "statistics")}).items():
        drawn = [title for title in titles if title.startswith(f"{name}, epoch ")]
        assert drawn == [f"{name}, epoch {line['epoch'] + 1}: {line[key]:.5g}" for line in log if key in line]


@pytest.mark.parametrize("stage", DOWNSTREAM)
def test_numbers_are_those_of_the_predictions_and_names_are_text(stage, finished, page):
    with np.load(finished / stage / "scores.npz") as file:
        label, predicted = file["label"], file["scores"].argmax(1)
    last, seen = read(finished / stage)["last"], page(finished / stage)
    assert 100 * (label == predicted).mean() == pytest.approx(last["test_acc1"])
    recall, matrix = recall_score(label, predicted, average=None), confusion_matrix(label, predicted)
    rows = table_of_classes(seen)
    assert sorted(row[:5] for row in rows) == [
        [str(k), NAMES[k], f"{100 * recall[k]:.1f} %", str(matrix[k, k]), str(matrix[k].sum())] for k in range(3)
    ]
    assert [float(row[2].split()[0]) for row in rows] == sorted(round(100 * r, 1) for r in recall)  # worst first
    cells = [(t, p, n, matrix[t].sum()) for (t, p), n in np.ndenumerate(matrix) if n]
    cells = {f"{NAMES[t]} → {NAMES[p]}: {n} of {every} ({n / every:.1%})" for t, p, n, every in cells}
    assert {title for title in seen.titles if " → " in title} == cells
    assert f"{100 * recall.mean():.2f} %" in seen.words and "<img src=x onerror=alert(1)>" in seen.words
    for name in ("per_joint", "statistics"):
        readout = f"{last.get(f'test_acc1_{name}', 0):.2f} %top-1 of another read-out, {name}"
        assert (readout in seen.words) == (f"test_acc1_{name}" in last)
    for name, value in read(finished / stage).get("standardised_features", {}).items():
        assert f"{value:.2f} %top-1 with standardised features, {name}" in seen.words
    probable = re.search(r"predicted .*?, (\d+)%", seen.words)
    assert (probable is None) == (stage == "retrieval")


@pytest.mark.parametrize("stage", DOWNSTREAM)
def test_the_table_of_classes_is_a_download(stage, finished, page):
    seen = page(finished / stage)
    link = next(attributes for tag, attributes in seen.tags if tag == "a" and "download" in attributes)
    kind, content = link["href"].split(",", 1)
    head, *lines = csv.reader(io.StringIO(unquote(content), newline=""))
    assert kind == "data:text/csv;charset=utf-8" and link["download"] == f"{stage}-classes.csv"
    assert head == ["class", "name", "accuracy, %", "right", "of", "most often taken for"]
    shown = [[*line[:2], f"{float(line[2]):.1f} %", *line[3:]] for line in lines]
    assert shown == sorted(table_of_classes(seen))


def test_features_are_points_by_class(copied, page, monkeypatch):
    monkeypatch.setattr(run_page, "FEWEST_POINTS", 13)
    seen = page(run_page.write(copied("linprobe")).parent)
    assert "t-SNE of what the last linear map sees, all 13 sequences" in seen.words and f"{EVIL} (" in seen.words
    assert sum(title.startswith("<img src=x onerror=alert(1)>") for title in seen.titles) == 13


def test_only_the_pages_own_script_runs(finished, page):
    """Its checksum stands in the page's policy; nobody else's would run."""
    seen, script_text = page(finished / "linprobe"), (ROOT / "report/run_page.js").read_text()
    assert seen.count("script") == 1 and not any(key.startswith("on") for _, attributes in seen.tags for key in attributes)
    assert {tag for tag, _ in seen.tags}.isdisjoint({"img", "iframe", "object", "link", "base", "form"})
    policy = next(a["content"] for tag, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script_text.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert f"<script>{script_text}</script>" in (finished / "linprobe/report.html").read_text()


def test_a_page_is_the_same_each_time(copied):
    folder = copied("finetune")
    first, again = (run_page.write(folder).read_bytes() for _ in range(2))
    assert first == again


def fail(*_):
    raise ZeroDivisionError("of no\nimportance")


def test_sections_that_fail_are_left_out_with_one_line_each(copied, page, monkeypatch, capsys):
    for section in run_page.SECTIONS:
        monkeypatch.setitem(run_page.SECTIONS, section, fail)
    seen, lines = page(run_page.write(copied("linprobe")).parent), capsys.readouterr().out.splitlines()
    assert len(lines) == len(run_page.SECTIONS)
    assert all(re.fullmatch(r"warning: .*report.html: no [a-z ]+ \(of no importance\)", line) for line in lines)
    assert not seen.problems and "Configuration" in seen.words and "of no" not in seen.words


def test_a_page_that_fails_costs_one_line(finished, hostile, options, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_page, "write", fail)
    main_retrieval.main(options("retrieval", hostile, tmp_path, "--finetune", finished / "pretrain/checkpoint-2.pth", "--report"))
    out = capsys.readouterr().out
    assert out.count("warning:") == 1 and "(of no importance)" in out
    assert {"last", "encoder", "versions"} <= read(tmp_path).keys()
    assert not (tmp_path / "report.html").exists()


def test_numbers_are_safe_before_anything_is_drawn(finished, hostile, options, tmp_path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_retrieval, "write_report", die)
    line = options("retrieval", hostile, tmp_path, "--finetune", finished / "pretrain/checkpoint-2.pth", "--report")
    with pytest.raises(KeyboardInterrupt):
        main_retrieval.main(line)
    assert read(tmp_path)["last"]["test_samples"] == 13


def test_without_its_data_everything_else_is_there(copied, npz, page):
    folder = copied("linprobe")
    options = yaml.safe_load((folder / "config.yaml").read_text()) | {"data_path": "elsewhere.npz"}
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    run_page.write(folder)
    words = page(folder).words
    assert "No skeletons to show: elsewhere.npz: no such npz file" in words and "Accuracy per class" in words
    run_page.write(folder, npz())
    assert "holds other samples than were predicted" in page(folder).words


@pytest.mark.parametrize("stage", ["finetune", "retrieval"])
def test_an_older_run_is_evaluated_again(stage, copied, finished, page):
    """It left no scores.npz."""
    folder = copied(stage)
    before = {name: (folder / name).read_bytes() for name in ("result.json", "config.yaml")}
    names = {path.name for path in folder.iterdir()}
    for name in ("scores.npz", "report.html"):
        (folder / name).unlink()
    script.main([str(folder)])
    assert {path.name for path in folder.iterdir()} == names
    assert before == {name: (folder / name).read_bytes() for name in before}
    with np.load(folder / "scores.npz") as again, np.load(finished / stage / "scores.npz") as first:
        assert np.allclose(again["scores"], first["scores"], atol=1e-5) and again["name"].tolist() == first["name"].tolist()
    assert page(folder).words.count("truth ") == page(finished / stage).words.count("truth ")
    result = json.loads(before["result.json"]) | {"last": {"test_acc1": 12.3, "test_samples": 13}}
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "scores.npz").unlink()
    with pytest.raises(ValueError, match=r"evaluated again the top-1 is .* %, not the 12.30 % of result.json"):
        script.main([str(folder)])


def test_a_run_that_cannot_be_evaluated_again_does_not_end_the_others(copied, tmp_path, capsys):
    bad = copied("finetune").rename(tmp_path / "bad")
    good = copied("pretrain")
    (bad / "scores.npz").unlink()
    (bad / json.loads((bad / "result.json").read_text())["checkpoint"]["path"].rsplit("/", 1)[-1]).unlink()
    for folder in (bad, good):
        (folder / "report.html").unlink(missing_ok=True)
    script.main([str(bad), str(good)])
    assert (good / "report.html").exists() and not (bad / "report.html").exists()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ") and ".pth" in line


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("result.json", None, "no result.json of a finished run, neither there nor below"),
        ("result.json", "{", "not the folder of a finished run of ours"),
        ("config.yaml", None, "config.yaml: no such file"),
        ("log.jsonl", '{"epoch": 0}\nnonsense', "not the folder of a finished run of ours"),
    ],
)
def test_folders_that_hold_no_finished_run(name, content, message, copied):
    folder = copied("pretrain")
    (folder / name).unlink()
    if content:
        (folder / name).write_text(content)
    with pytest.raises((ValueError, OSError), match=message) as error:
        script.main([str(folder)])
    assert "\n" not in str(error.value)


def test_runs_are_found_below_and_other_folders_are_skipped(finished, tmp_path, capsys):
    for place in ("output/one", "output/deep/er/two", "output/bad"):
        shutil.copytree(finished / "pretrain", tmp_path / place, ignore=shutil.ignore_patterns("report.html"))
    (tmp_path / "output/bad/config.yaml").unlink()
    (tmp_path / "empty").mkdir()
    script.main([str(tmp_path / "output"), str(tmp_path / "empty")])
    written = sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("report.html"))
    assert written == ["output/deep/er/two", "output/one"]
    first, second = capsys.readouterr().err.splitlines()
    assert "bad/config.yaml: no such file" in first and f"{tmp_path}/empty: no result.json" in second


def test_the_papers_number_stands_beside_its_own_protocol_only(tmp_path, page):
    config.save(config.parse("linprobe", ["--dataset", "ntu60_xsub"]), tmp_path / "config.yaml")
    encoder = vars(config.parse("pretrain", ["--dataset", "ntu60_xsub"])) | {"epoch": 399, "target": "motion", "format": "ours"}
    content = {"stage": "linprobe", "dataset": "ntu60_xsub", "seed": 0, "epochs": 100, "eval": False, "evaluated_on": "test"}
    content |= {"config": "config.yaml", "last": {"test_acc1": 84.44, "test_samples": 16487}}

    def remade(**changes):
        (tmp_path / "result.json").write_text(json.dumps(content | {"encoder": encoder | changes}))
        run_page.write(tmp_path)
        return page(tmp_path)

    assert ["Table 1: linear evaluation", "NTU-60 X-sub", "MAMP", "84.9", "85.0", "84.4"] in remade().rows
    for changes in ({"epoch": 380}, {"mask_ratio": 0.5}):
        seen = remade(**changes)
        assert "84.9" not in seen.words and "No published number is about exactly this protocol" in seen.words
        assert all(str(value + (key == "epoch")) in seen.words for key, value in changes.items())
    other = ["Table 8: masking, linear evaluation", "NTU-60 X-sub", "random", "83.7", "", "84.4"]
    assert other in remade(motion_aware_tau=0).rows


def test_a_retrieval_shows_queries_beside_their_neighbours(finished, hostile):
    """The nearest ones by cosine of the features that were saved, in order; of another class in orange."""
    with np.load(finished / "retrieval/features.npz") as file, np.load(finished / "retrieval/scores.npz") as scores:
        unit = {key: file[key] / np.linalg.norm(file[key], axis=1, keepdims=True) for key in ("x_train", "x_test")}
        expected = np.argsort(-unit["x_test"] @ unit["x_train"].T, axis=1, kind="stable")[:, :5]
        assert np.array_equal(scores["neighbours"], expected)
        labels, queries = file["y_train"], file["y_test"]
    section = re.search(r"<h2>Neighbours</h2>.*?</section>", (finished / "retrieval/report.html").read_text(), re.S)[0]
    rows = re.findall(r'<div class="bodies found">(.*?)</div>', section, re.S)
    assert 1 <= len(rows) <= 6 and all(row.count("<svg") == 4 for row in rows)
    for row in rows:
        query, *found = [int(n) for n in re.findall(r'class="soft">.*?(\d+)\)?</span>', row)]
        assert found == expected[query][:3].tolist()
        wrong = [' class="wrong"' in part for part in row.split("</figcaption>")[1:4]]
        assert wrong == (labels[found] != queries[query]).tolist()
