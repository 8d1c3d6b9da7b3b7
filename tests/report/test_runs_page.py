"""The page over several runs against runs that are copies of finished ones with other seeds, settings and numbers."""

import json
import re
import shutil
import statistics

import pytest
import yaml

from scripts import report as script
from tests.conftest import EVIL
from tests.report.conftest import Page
from util import results

LOSSES = {0: [3.0, 2.0, 1.0], 1: [4.0, 2.5, 1.25], 2: [5.0, 3.0, 1.5]}
OTHERS = {"per_joint": 10, "statistics": 11}  # how many points above the headline these read-outs are


@pytest.fixture
def run(finished, tmp_path):
    """run(name, stage, seed, accuracy, ...) -> folder of a copy of a finished run with these in its files."""

    def copy(name, stage="linprobe", seed=0, accuracy=50.0, dataset=None, encoder=None, **options):
        folder = shutil.copytree(finished / stage, tmp_path / "runs" / name)
        content = json.loads((folder / "result.json").read_text())
        last = content["last"] | {"train_loss": LOSSES[seed][-1]}
        last |= {"test_acc1": accuracy} if "test_acc1" in last else {}
        last |= {f"test_acc1_{name}": accuracy + add for name, add in OTHERS.items() if f"test_acc1_{name}" in last}
        content |= {"seed": seed, "last": last, "encoder": content.get("encoder") and content["encoder"] | (encoder or {})}
        settings = yaml.safe_load((folder / "config.yaml").read_text()) | {"seed": seed} | options
        if dataset:
            content["dataset"] = settings["dataset"] = dataset
        (folder / "result.json").write_text(json.dumps(content))
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
        judged = {"test_acc1": accuracy} if "test_acc1" in last else {}
        log = [{"epoch": epoch, "train_loss": loss} | judged for epoch, loss in enumerate(LOSSES[seed])]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
        return folder

    return copy


@pytest.fixture
def compared(tmp_path):
    """compared(FOLDER, ...) -> the page over all runs below them, or below `runs`."""

    def make(*folders):
        script.main(["--compare", str(tmp_path / "pages/all.html"), *map(str, folders or [tmp_path / "runs"])])
        return Page((tmp_path / "pages/all.html").read_text())

    return make


def test_runs_that_differ_in_seed_alone_are_a_line(run, compared, tmp_path):
    accuracies = {0: 60.0, 1: 64.0, 2: 71.0}
    for seed, accuracy in accuracies.items():
        run(f"usual/{seed}", seed=seed, accuracy=accuracy)
    run("other", accuracy=80.0, lr=0.3)  # all of them with a small model
    (tmp_path / "runs/usual/1/report.html").unlink()
    seen = compared()
    deviation = statistics.stdev(accuracies.values())
    rows = [[cell.strip() for cell in row] for row in seen.rows if row[0].startswith("MAMP")]
    assert rows == [  # best first
        ["MAMPlr 0.3", "10", "80.080.0", "90.090.0", "91.091.0"],
        [
            *("MAMP", "30, 1, 2", f"65.0 ± {deviation:.1f}60.0, 64.0, 71.0"),
            *(f"75.0 ± {deviation:.1f}70.0, 74.0, 81.0", f"76.0 ± {deviation:.1f}71.0, 75.0, 82.0"),
        ],
    ]
    assert ["runs", "seeds", *(f"top-1 %, {name}" for name in ("mean", *OTHERS))] in seen.rows
    assert "on 13 test sequences after the last epoch. Chance: 33.3 %." in seen.words and "INVENTED" not in seen.words
    (shared,) = re.findall(r"All of these runs differ from the data set's configuration in: (.*)\.", seen.words)
    assert " dim_feat 8, " in shared and " lr 0.3" not in shared and " lr 0.1" not in shared
    links = [attributes["href"] for tag, attributes in seen.tags if tag == "a"]
    pages = [f"../runs/{name}/report.html" for name in ("other", "usual/0", "usual/2")]
    assert sorted(links) == sorted(3 * pages) and all((tmp_path / "pages" / link).is_file() for link in links)
    settings = seen.rows[next(k for k, row in enumerate(seen.rows) if row[0] == "") + 1 :]
    assert settings == [["lr", "0.3", "0.1"]]  # neither seed nor paths


def test_curves_lie_over_each_other_with_the_mean_of_the_seeds(run, compared):
    for seed in range(3):
        run(f"usual/{seed}", seed=seed)
    run("other", lr=0.3)
    run("pretrain", stage="pretrain")
    seen = compared()
    means = [f"MAMP, mean of 3, epoch {k + 1}: {sum(loss[k] for loss in LOSSES.values()) / 3:.5g}" for k in range(3)]
    assert [title for title in seen.titles if title.startswith("MAMP, mean of 3")][:3] == means
    assert sum(title.startswith("MAMP, lr 0.3, epoch ") for title in seen.titles) == 6
    labels = [attributes["aria-label"] for tag, attributes in seen.tags if tag == "svg"]
    assert labels == ["training loss over epochs", "training loss over epochs", "test accuracy, % over epochs"]
    assert seen.words.index("Pre-training on") < seen.words.index("Linear probe on")
    looks = [a["style"] for tag, a in seen.tags if tag == "i"]
    assert len(looks) == 5 and len(set(looks)) == 2  # MAMP has one colour in both stages, in both tables


def test_pretrainings_share_a_chart_only_with_those_of_the_same_target(run, compared):
    run("mamp", stage="pretrain")
    run("random", stage="pretrain", motion_aware_tau=0.0)
    run("joints", stage="pretrain", motion_aware_tau=0.0, target="joint")
    seen = compared()
    assert sum(tag == "svg" for tag, _ in seen.tags) == 2
    assert ["target", "motion", "joint", "motion"] in seen.rows and "Chance" not in seen.words


def test_what_is_no_run_costs_a_line_and_the_others_are_shown(run, compared, finished, tmp_path, capsys):
    good = run("good")
    shutil.copytree(good, tmp_path / "runs/twice")
    damaged = run("damaged")
    (damaged / "result.json").write_text("{")
    no_log = run("no_log", seed=1)
    (no_log / "log.jsonl").write_text("nonsense\n")
    (tmp_path / "empty").mkdir()
    seen = compared(tmp_path / "empty", tmp_path / "nowhere", tmp_path / "runs", finished / "eval")
    expected = [
        f"{tmp_path}/runs/damaged/result.json: not the result of a run of ours (",
        f"{tmp_path}/empty: no result.json of a finished run, neither there nor below",
        f"{tmp_path}/nowhere: no result.json of a finished run, neither there nor below",
        f"{finished}/eval: an evaluation of a checkpoint, not a run",
        f"{tmp_path}/runs/twice: same settings, seed and encoder as {tmp_path}/runs/good",
        f"{tmp_path}/runs/no_log: no curves, log.jsonl is damaged (",
    ]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(f"warning: {start}") and line.removeprefix("warning: ") in seen.words
    assert "2 runs compared" in seen.words and seen.rows[1][1] == "20, 1"


def test_nothing_to_compare_and_a_forgotten_name_are_mistakes(run, compared, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no result.json of a finished run"):
        compared(tmp_path / "empty")
    for words, message in (
        (["--compare", str(run("good")), "more"], "ending in .html, comes before the folders"),
        (["--compare", "all.html", "more", "--data_path", "x.npz"], "--data_path says nothing with --compare"),
    ):
        with pytest.raises(SystemExit) as stop:
            script.main(words)
        assert stop.value.code == 2 and message in capsys.readouterr().err


def test_names_are_text_and_nothing_runs(run, compared, tmp_path):
    run("<i>one", dataset=EVIL, subset="<b>one$_")
    run("two", dataset=EVIL, subset="$two")
    seen, text = compared(), (tmp_path / "pages/all.html").read_text()
    assert not seen.problems and not seen.count("script") and "<b>one" not in text
    assert f"Linear probe on {EVIL}" in seen.words and ["subset", "$two", "<b>one$_"] in seen.rows
    assert "MAMP, subset <b>one$_, epoch 1: 3" in seen.titles
    assert "default-src 'none'; style-src 'unsafe-inline'\"" in text


def test_invented_data_is_said_so(run, compared):
    run("one", dataset="demo")
    seen = compared()
    assert "Linear probe on INVENTED demo" in seen.words and "INVENTED data: these numbers show that the code works" in seen.words


def test_tuned_encoders_of_different_methods_are_different_groups(run):
    """The settings of what was tuned belong to the tuning's."""
    folders = [run(name, encoder={"stage": "pretrain", "target": name}) for name in ("motion", "joint")]
    for folder in folders:
        for name in ("result.json", "config.yaml"):
            (folder / name).write_text(re.sub(r"(?m)(\"?stage\"?: \"?)linprobe", r"\1tune", (folder / name).read_text()))
    found = {folder.name: results.read(folder / "result.json").method() for folder in folders}
    assert found["motion"][1].get("target") is None and found["joint"][1]["target"] == "joint"
