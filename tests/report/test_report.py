"""report.html against the run it is about, other people's formulas, hostile names and folders."""

import base64
import hashlib
import json
import re
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.metrics import confusion_matrix, recall_score

import main_pretrain
import main_retrieval
from report import report
from scripts import report as script
from tests.conftest import EVIL
from util import config, predictions

ROOT = Path(__file__).resolve().parents[2]
JUDGED = ("linprobe", "finetune", "retrieval", "eval")


@pytest.mark.parametrize("stage", ["pretrain", *JUDGED])
def test_every_finished_run_leaves_a_page_that_needs_nothing_else(stage, finished, page):
    text, seen = (finished / stage / "report.html").read_text(), page(finished / stage)
    result = json.loads((finished / stage / "result.json").read_text())
    assert not seen.problems
    links = [a[k] for _, a in seen.tags for k in ("src", "href", "xlink:href", "data", "action") if k in a]
    assert links and all((finished / stage / link).is_file() for link in links)  # files beside it, nothing on the net
    assert "@import" not in text and "url(" not in text and "//" not in re.sub(r"//.*", "", text.split("<script>")[0])
    headline = f"{result['last']['test_acc1']:.2f} %" if stage != "pretrain" else f"{result['last']['train_loss']:.4f}"
    assert headline in seen.words and result["command"] in seen.words and result["versions"]["torch"] in seen.words
    for line in (finished / stage / "config.yaml").read_text().splitlines():
        assert line in seen.words
    for known in (result.get("checkpoint"), result.get("encoder")):
        assert known is None or known["sha256"] in seen.words
    sections = ("Accuracy per class", "Confusion matrix", "Features", "Sequences")
    assert all((section in seen.words) == (stage != "pretrain") for section in sections)
    assert ("Learning rate" in seen.words) == (stage not in ("retrieval", "eval"))


def test_curves_are_those_of_the_log(finished, page):
    for stage in ("pretrain", "linprobe", "finetune"):
        log = [json.loads(line) for line in (finished / stage / "log.jsonl").read_text().splitlines()]
        titles = page(finished / stage).titles
        for name, key in (("train", "train_loss"), ("test", "test_loss"), ("top-1", "test_acc1"), ("learning rate", "lr")):
            told = [title for title in titles if title.startswith(f"{name}, epoch ")]
            assert told == [f"{name}, epoch {line['epoch'] + 1}: {line[key]:.5g}" for line in log if key in line]


@pytest.mark.parametrize("stage", JUDGED)
def test_tables_and_matrix_are_those_of_the_predictions(stage, finished, page):
    with np.load(finished / stage / "scores.npz") as file:
        label, predicted = file["label"], file["scores"].argmax(1)
    names = [EVIL, 'drink "water" & tea', "walk"]
    recall, matrix = recall_score(label, predicted, average=None), confusion_matrix(label, predicted)
    assert 100 * (label == predicted).mean() == pytest.approx(
        json.loads((finished / stage / "result.json").read_text())["last"]["test_acc1"]
    )
    seen = page(finished / stage)
    start = next(k for k, row in enumerate(seen.rows) if row[:3] == ["class", "name", "accuracy"])
    rows = seen.rows[start + 1 : start + 4]
    assert sorted(rows) == sorted(
        [str(k), names[k], f"{100 * recall[k]:.1f} %", str(matrix[k, k]), str(matrix[k].sum()), row[5]]
        for k, row in ((int(row[0]), row) for row in rows)
    )
    assert [float(row[2].split()[0]) for row in rows] == sorted(round(100 * r, 1) for r in recall)  # worst first
    told = {
        f"{names[t]} → {names[p]}: {n} of {matrix[t].sum()} ({n / matrix[t].sum():.1%})"
        for (t, p), n in np.ndenumerate(matrix)
        if n
    }
    assert {title for title in seen.titles if " → " in title} == told
    assert f"{100 * recall.mean():.2f} %" in seen.words


@pytest.mark.parametrize("stage, other", [("linprobe", "per_joint"), ("retrieval", "per_joint"), ("finetune", None)])
def test_the_read_out_beside_the_headline(stage, other, finished, page):
    seen, last = page(finished / stage), json.loads((finished / stage / "result.json").read_text())["last"]
    shown = f"{last['test_acc1_per_joint']:.2f} %top-1 of the read-out per_joint, beside mean" if other else "of the read-out"
    assert (shown in "".join(seen.words.split("\n"))) == bool(other)
    epochs = [title for title in seen.titles if title.startswith("per_joint, epoch")]
    assert len(epochs) == (4 if stage == "linprobe" else 0)


@pytest.mark.parametrize("stage", JUDGED)
def test_names_from_files_are_text(stage, finished, page):
    """The only script is the page's own, whose checksum the page's policy names; nobody else's would run."""
    seen = page(finished / stage)
    script = (ROOT / "report/report.js").read_text()
    assert seen.count("script") == 1 and not any(key.startswith("on") for _, attributes in seen.tags for key in attributes)
    assert {tag for tag, _ in seen.tags}.isdisjoint({"img", "iframe", "object", "link", "base", "form"})
    policy = next(a["content"] for tag, a in seen.tags if a.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert f"<script>{script}</script>" in (finished / stage / "report.html").read_text()
    assert EVIL in seen.words and "<img src=x onerror=alert(1)>" in "".join(seen.titles)


@pytest.mark.parametrize("where", ["write", "sections"])
def test_a_page_that_fails_costs_one_line(where, finished, hostile, options, tmp_path, monkeypatch, capsys, page):
    def fail(*_):
        raise ZeroDivisionError("of no\nimportance")

    if where == "write":
        monkeypatch.setattr(report, "write", fail)
    else:
        monkeypatch.setattr(report, "SECTIONS", tuple((t, fail if t == "Features" else s) for t, s in report.SECTIONS))
    main_retrieval.main(options("retrieval", hostile, tmp_path, "--finetune", finished / "pretrain/checkpoint-2.pth"))
    out = capsys.readouterr().out
    assert out.count("warning:") == 1 and "(of no importance)" in out
    assert {"last", "encoder", "versions"} <= json.loads((tmp_path / "result.json").read_text()).keys()
    if where == "sections":
        assert "Could not be drawn: of no importance" in page(tmp_path).words and "Confusion matrix" in page(tmp_path).words
    else:
        assert not (tmp_path / "report.html").exists()


def test_numbers_are_safe_before_anything_is_drawn(finished, hostile, options, tmp_path, monkeypatch):
    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predictions, "save", die)
    with pytest.raises(KeyboardInterrupt):
        main_retrieval.main(options("retrieval", hostile, tmp_path, "--finetune", finished / "pretrain/checkpoint-2.pth"))
    assert json.loads((tmp_path / "result.json").read_text())["last"]["test_samples"] == 13


def test_no_report(hostile, options, tmp_path):
    main_pretrain.main(options("pretrain", hostile, tmp_path, "--epochs", 1, "--no-report"))
    assert (tmp_path / "result.json").exists() and not (tmp_path / "report.html").exists()


def test_a_pretraining_page_takes_no_time_and_no_libraries(finished, tmp_path, monkeypatch, page, capsys):
    shutil.copytree(finished / "pretrain", tmp_path / "run")
    line = json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[0])
    lines = [json.dumps(line | {"epoch": k, "train_loss": 1 / (k + 1) if k != 7 else float("nan")}) for k in range(400)]
    (tmp_path / "run/log.jsonl").write_text("\n".join(lines))
    for library in ("matplotlib", "report.plots", "sklearn.manifold"):
        monkeypatch.setitem(sys.modules, library, None)  # which cannot be imported then
    begin = time.process_time()
    report.write(tmp_path / "run")
    assert time.process_time() - begin < 1 and "warning" not in capsys.readouterr().out
    assert sum(title.startswith("train, epoch") for title in page(tmp_path / "run").titles) == 399


def test_without_the_data_set_everything_else_is_there(finished, tmp_path, page):
    shutil.copytree(finished / "linprobe", tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text()) | {"data_path": "elsewhere.npz"}
    (tmp_path / "run/config.yaml").write_text(yaml.safe_dump(config))
    report.write(tmp_path / "run")
    words = page(tmp_path / "run").words
    assert "No skeletons to show: elsewhere.npz: no such npz file" in words and "walk" in words and "t-SNE" in words


def test_other_data_than_were_predicted_are_not_drawn(finished, npz, tmp_path, page):
    shutil.copytree(finished / "linprobe", tmp_path / "run")
    report.write(tmp_path / "run", npz())
    assert "holds other samples than were predicted" in page(tmp_path / "run").words


@pytest.mark.parametrize("stage", ["finetune", "retrieval"])
def test_the_page_of_an_older_run(stage, finished, tmp_path, capsys, page):
    """It left no scores.npz: it is evaluated again, and the page is that of the run."""
    shutil.copytree(finished / stage, tmp_path / "run")
    before = {name: (tmp_path / "run" / name).read_bytes() for name in ("result.json", "config.yaml")}
    for name in ("scores.npz", "report.html"):
        (tmp_path / "run" / name).unlink()
    files = {path.name for path in (tmp_path / "run").iterdir()}
    script.main([str(tmp_path / "run")])
    assert {path.name for path in (tmp_path / "run").iterdir()} == files | {"scores.npz", "report.html"}
    assert before == {name: (tmp_path / "run" / name).read_bytes() for name in before}
    with np.load(tmp_path / "run/scores.npz") as again, np.load(finished / stage / "scores.npz") as first:
        assert np.allclose(again["scores"], first["scores"], atol=1e-5) and again["name"].tolist() == first["name"].tolist()
    assert page(tmp_path / "run").words.count("truth ") == page(finished / stage).words.count("truth ")
    result = json.loads(before["result.json"]) | {"last": {"test_acc1": 12.3, "test_samples": 13}}
    (tmp_path / "run/result.json").write_text(json.dumps(result))
    (tmp_path / "run/scores.npz").unlink()
    with pytest.raises(ValueError, match=r"evaluated again the top-1 is .* %, not the 12.30 % of result.json"):
        script.main([str(tmp_path / "run")])


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda run: (run / "result.json").unlink(), "no result.json of a finished run, neither there nor below"),
        (lambda run: (run / "result.json").write_text("{"), "not the folder of a finished run of ours"),
        (lambda run: (run / "config.yaml").unlink(), "config.yaml: no such file"),
        (lambda run: (run / "config.yaml").write_text("[1, 2]"), "not the folder of a finished run of ours"),
        (lambda run: (run / "log.jsonl").write_text('{"epoch": 0}\nnonsense'), "not the folder of a finished run of ours"),
    ],
)
def test_folders_that_hold_no_finished_run(spoil, message, finished, tmp_path):
    shutil.copytree(finished / "pretrain", tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises((ValueError, OSError), match=message) as error:  # which the command says in one line
        script.main([str(tmp_path / "run")])
    assert len(str(error.value).splitlines()) == 1


def test_runs_are_found_below_and_what_is_none_is_skipped(finished, tmp_path, capsys):
    for place in ("output/one", "output/deep/er/two", "output/bad"):
        shutil.copytree(finished / "pretrain", tmp_path / place, ignore=shutil.ignore_patterns("report.html"))
    (tmp_path / "output/bad/config.yaml").unlink()
    (tmp_path / "empty").mkdir()
    script.main([str(tmp_path / "output"), str(tmp_path / "empty")])
    written = sorted(str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("report.html"))
    assert written == ["output/deep/er/two", "output/one"]
    first, second = capsys.readouterr().err.splitlines()
    assert "bad/config.yaml: no such file" in first and f"{tmp_path}/empty: no result.json" in second


def test_the_papers_number_stands_beside_its_own_protocol_only(finished, tmp_path, page):
    config.save(config.parse("linprobe", ["--dataset", "ntu60_xsub"]), tmp_path / "config.yaml")
    encoder = vars(config.parse("pretrain", ["--dataset", "ntu60_xsub"])) | {"epoch": 399, "target": "motion", "format": "ours"}
    content = {
        "stage": "linprobe",
        "dataset": "ntu60_xsub",
        "seed": 0,
        "last": {"test_acc1": 84.44, "test_samples": 16487},
        "config": "config.yaml",
        "eval": False,
        "evaluated_on": "test",
        "encoder": encoder,
        "epochs": 100,
    }

    def words(**changes):
        (tmp_path / "result.json").write_text(json.dumps(content | {"encoder": encoder | changes}))
        report.write(tmp_path)
        return page(tmp_path)

    assert ["Table 1: linear evaluation", "NTU-60 X-sub", "MAMP", "84.9", "85.0", "84.4"] in words().rows
    for changes in ({"epoch": 380}, {"mask_ratio": 0.5}):
        seen = words(**changes)
        assert "84.9" not in seen.words and "No published number is about exactly this protocol" in seen.words
        assert all(str(value + (key == "epoch")) in seen.words for key, value in changes.items())
    assert ["Table 8: masking, linear evaluation", "NTU-60 X-sub", "random", "83.7", "", "84.4"] in words(motion_aware_tau=0).rows
